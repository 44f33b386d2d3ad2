/**
 * Making the default engine at once: of a module or bytes that are given, or of files where they can be read so.
 */

import type { Engine } from "./engine.ts";
import { describe, SaccadeError } from "./errors.ts";
import { compatibleEngine, finish, isLoading, type MemoryOptions, setCurrent } from "./init.ts";
import { KNOWN_SYNC, type ResolvedInit, resolveInit } from "./layout/init.ts";
import { moduleForSync } from "./modules-sync.ts";
import { operators } from "./operator-modules.ts";
import { warmUp } from "./warm-up.ts";
import { assertSupported } from "./wasm/features.ts";
import type { Build } from "./wasm/instance.ts";
import { instantiateSync } from "./wasm/instance-sync.ts";

/** Options of {@link initSync}. */
export interface InitSyncOptions {
  /** The wasm as a compiled module or bytes. In Node it may be left out: the file beside the script is read. */
  module?: WebAssembly.Module | BufferSource | undefined;
  /** As in {@link InitOptions.operators}, as a compiled module or bytes. */
  operators?: WebAssembly.Module | BufferSource | undefined;
  /** As in {@link InitOptions.build}. */
  build?: Build | undefined;
  /** As in {@link InitOptions.memory}. */
  memory?: MemoryOptions | undefined;
  /** As in {@link InitOptions.warmup}. */
  warmup?: boolean | undefined;
  /** Workers do not start synchronously: more than one thread needs {@link init}. */
  threads?: 1 | undefined;
}

/**
 * Makes the default engine at once, from a compiled module or bytes: for workers, edge runtimes and tests.
 *
 * @returns the default engine
 * @throws as {@link init}; also `ERR_SACCADE_ALREADY_INITIALIZED` while an `init()` is under way
 *
 * @example
 * ```ts
 * import module from "saccade/saccade.strict.wasm";
 * import { initSync } from "saccade";
 *
 * initSync({ module });
 * ```
 */
export function initSync(options?: InitSyncOptions): Engine {
  const resolved = resolveInit(options, "initSync", KNOWN_SYNC);
  if (resolved.threads !== 1) {
    throw new SaccadeError(
      "ERR_SACCADE_UNSUPPORTED",
      `initSync: options.threads is ${describe(resolved.threads)}, but workers do not start synchronously; use await init()`,
    );
  }
  const existing = compatibleEngine(resolved, "initSync");
  if (existing !== undefined) return existing;
  if (isLoading()) {
    throw new SaccadeError(
      "ERR_SACCADE_ALREADY_INITIALIZED",
      "initSync: an init() is under way; await it, or make another engine with createEngine()",
    );
  }
  return setCurrent(makeEngineSync(resolved, "initSync"), resolved);
}

/** Makes the default engine for the first call that needs it: what the platforms that read files at once offer. */
export function openEngine(caller: string): Engine {
  const resolved = resolveInit(undefined, caller);
  // Nothing is run ahead of a call that is under way.
  return setCurrent(makeEngineSync(resolved, caller, false), resolved);
}

function makeEngineSync(options: ResolvedInit, caller: string, ahead = true): Engine {
  assertSupported(options.build, caller);
  const instance = instantiateSync(options, moduleForSync("attention", options, caller));
  // What was given is looked at now, so that a mistake shows here and not in the first call.
  if (options.operators !== undefined) operators.open(instance, caller);
  const engine = finish(instance, caller, ahead);
  if (options.warmup) warmUp(engine, true);
  return engine;
}
