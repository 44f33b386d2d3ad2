/**
 * Making engines: the default one by `init` (or `init-sync.ts`, or, where files can be read synchronously, by the first call
 * that needs it), further ones by `createEngine`.
 */

import { Engine, instanceOf } from "./engine.ts";
import { SaccadeError } from "./errors.ts";
import { conflictOf, type ResolvedInit, resolveInit } from "./layout/init.ts";
import { loadOperators, makeInstance } from "./modules.ts";
import { currentPlatform } from "./platform.ts";
import { selfTest } from "./self-test.ts";
import type { CreateWorker } from "./threads/slot.ts";
import { warmUp, warmUpSlowly } from "./warm-up.ts";
import type { WasmSource } from "./wasm/given-module.ts";
import type { Build, WasmInstance } from "./wasm/instance.ts";
import { hasSimd } from "./wasm/simd.ts";

/** Sizes of an engine's memory. */
export interface MemoryOptions {
  /** MiB at the start; an integer from 1. Default 2. */
  initialMiB?: number | undefined;
  /** MiB that the memory may grow to; an integer up to 4096. Default 4096. */
  maximumMiB?: number | undefined;
}

/** Options of {@link init} and {@link createEngine}. */
export interface InitOptions {
  /**
   * The wasm: a compiled module, its bytes, a response, its place, or a promise of one of these. Default: the file
   * beside this package's script. A string is a URL (relative to the page); in Node also a path.
   */
  module?: WasmSource | PromiseLike<WasmSource> | undefined;
  /**
   * The wasm of the operators beside attention and its cache (pooling, softmax, linear, positions, `saccade/nn`,
   * `saccade/vision`), in the same forms. Default: the file beside the script, loaded only where the program has a use for
   * it. Who gives `module` in a browser and calls operators gives this too.
   */
  operators?: WasmSource | PromiseLike<WasmSource> | undefined;
  /**
   * `"strict"` (default): the same bits on every engine and CPU. `"fast"`: relaxed SIMD, where it is there; elsewhere
   * `ERR_SACCADE_UNSUPPORTED`, never another build in silence.
   */
  build?: Build | undefined;
  /** Sizes of the engine's memory. */
  memory?: MemoryOptions | undefined;
  /**
   * Runs the kernels until the JavaScript engine has compiled them with its best tier, for some 100 milliseconds, of which
   * half are left to other work. Default false: each kind of call the program has is run a few times, on almost no work,
   * so that the engine knows what a first call goes through.
   */
  warmup?: boolean | undefined;
  /** Stops the loading; the promise then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /**
   * Threads that share the work of a call, the calling one included: an integer from 1 to 64, or `"auto"` (the cores of the
   * machine, at most 8, less one on the main thread of a page). Default 1. Results have the same bits for any number. With
   * more than one the engine's memory is shared: a page must be cross-origin isolated, and `module` cannot be a compiled
   * module. Where threads are not available ({@link capabilities} says why) the engine works on one.
   */
  threads?: number | "auto" | undefined;
  /** Milliseconds without work after which threads end; the next call starts them again. Default 30,000. */
  idleTimeoutMs?: number | undefined;
  /**
   * Makes the worker that a thread runs in, for bundlers and security policies that need it spelled out: it must run the file
   * `saccade/thread` as a module.
   *
   * @example
   * ```ts
   * import ThreadWorker from "saccade/thread?worker"; // Vite
   * await init({ threads: "auto", createWorker: () => new ThreadWorker() });
   * ```
   */
  createWorker?: CreateWorker | undefined;
}

interface Loading {
  readonly options: ResolvedInit;
  readonly promise: Promise<Engine>;
  readonly abort: AbortController;
  /** Callers that still want the result. */
  waiting: number;
}

let current: { readonly engine: Engine; readonly options: ResolvedInit; readonly promise: Promise<Engine> } | undefined;
let loading: Loading | undefined;

/**
 * Loads the wasm and makes the default engine. May be called any number of times: concurrent calls share one promise,
 * later ones resolve at once, and after a failure the next call tries again. What a later call's options leave out is
 * taken as it is.
 *
 * In Node this call may be left out: the first function that needs the engine initialises it.
 *
 * @returns the default engine
 * @throws SaccadeError `ERR_SACCADE_ALREADY_INITIALIZED` where the default engine was made with other options (make
 *   your own with {@link createEngine}); `ERR_SACCADE_WASM_LOAD`, `ERR_SACCADE_WASM_FORBIDDEN`,
 *   `ERR_SACCADE_UNSUPPORTED`, `ERR_SACCADE_OUT_OF_MEMORY`, `ERR_SACCADE_SELF_TEST`
 * @throws TypeError `ERR_SACCADE_OPTION`, `ERR_SACCADE_ARGUMENT`; RangeError `ERR_SACCADE_RANGE`
 *
 * @example
 * ```ts
 * import { attention, init } from "saccade";
 *
 * await init();
 * const { out } = attention(query, key, value, { causal: true });
 * ```
 */
export function init(options?: InitOptions): Promise<Engine> {
  let resolved: ResolvedInit;
  try {
    resolved = resolveInit(options, "init");
    resolved.signal?.throwIfAborted();
    compatibleEngine(resolved, "init");
  } catch (error) {
    return Promise.reject(error);
  }
  if (current !== undefined) return complete(current, resolved);
  loading ??= startLoading(resolved);
  return follow(loading, resolved.signal);
}

/**
 * Makes an engine with an instance and a memory of its own, beside the default one and any others.
 *
 * @throws as {@link init}, but for `ERR_SACCADE_ALREADY_INITIALIZED`
 *
 * @example
 * ```ts
 * using engine = await createEngine({ build: "fast", memory: { maximumMiB: 512 } });
 * const { out } = attention(query, key, value, { engine });
 * ```
 */
export async function createEngine(options?: InitOptions): Promise<Engine> {
  const resolved = resolveInit(options, "createEngine");
  const { signal } = resolved;
  signal?.throwIfAborted();
  return signal === undefined
    ? makeEngine(resolved, undefined, "createEngine")
    : abortable(makeEngine(resolved, signal, "createEngine"), signal, (made) => {
        // What is made all the same must not live on: it may have threads.
        made.then((engine) => engine.dispose()).catch(() => {});
      });
}

/** The instance for a call: that of `engine`, else the default one, which is made here where that can be done at once. */
export function instanceFor(engine: unknown, caller: string): WasmInstance {
  if (engine !== undefined) return instanceOf(engine, caller);
  const existing = living();
  if (existing !== undefined) return instanceOf(existing.engine, caller);
  const { openEngine } = currentPlatform();
  if (loading === undefined && openEngine !== undefined) return instanceOf(openEngine(caller), caller);
  const advice =
    loading === undefined
      ? 'write `await init()` first (import { init } from "saccade")'
      : "await the init() under way";
  throw new SaccadeError("ERR_SACCADE_NOT_INITIALIZED", `${caller}: saccade is not initialised: ${advice}`);
}

/** The default engine, unless it has been disposed of: then there is none. */
function living(): typeof current {
  if (current?.engine.disposed) current = undefined;
  return current;
}

/** Makes an engine the default one. */
export function setCurrent(engine: Engine, options: ResolvedInit): Engine {
  current = { engine, options, promise: Promise.resolve(engine) };
  return engine;
}

/** The default engine there is already for these options; throws where it was made, or is being made, with others. */
export function compatibleEngine(options: ResolvedInit, caller: string): Engine | undefined {
  const earlier = living()?.options ?? loading?.options;
  const conflict = earlier === undefined ? undefined : conflictOf(earlier, options);
  if (conflict !== undefined) {
    throw new SaccadeError(
      "ERR_SACCADE_ALREADY_INITIALIZED",
      `${caller}: saccade is already initialised with another ${conflict}; make a further engine with createEngine()`,
    );
  }
  return current?.engine;
}

/** Whether an `init` is under way. */
export function isLoading(): boolean {
  return loading !== undefined;
}

function startLoading(options: ResolvedInit): Loading {
  const abort = new AbortController();
  const promise = makeEngine(options, abort.signal, "init").then(
    (engine) => {
      if (loading !== started) engine.dispose();
      else {
        loading = undefined;
        current = { engine, options, promise };
      }
      return engine;
    },
    (error) => {
      if (loading === started) loading = undefined;
      throw error;
    },
  );
  const started: Loading = { options, promise, abort, waiting: 0 };
  return started;
}

/** The default engine, with the operators where the program has come to need them since it was made. */
function complete({ engine, options, promise }: NonNullable<typeof current>, later: ResolvedInit): Promise<Engine> {
  const instance = instanceOf(engine, "init");
  if (instance.operators !== undefined) return promise;
  const wanted = { ...options, operators: later.operators ?? options.operators };
  const completed = loadOperators(wanted, later.signal, instance.pool?.change)
    ?.then((add) => add(instance))
    .then(() => engine);
  if (completed === undefined) return promise;
  return later.signal === undefined ? completed : abortable(completed, later.signal, () => {});
}

/** One caller's view of a shared load: its own signal ends its own wait, and the load with the last waiting caller. */
function follow(shared: Loading, signal: AbortSignal | undefined): Promise<Engine> {
  shared.waiting += 1;
  if (signal === undefined) return shared.promise;
  return abortable(shared.promise, signal, () => {
    shared.waiting -= 1;
    if (shared.waiting > 0) return;
    if (loading === shared) loading = undefined;
    shared.abort.abort(signal.reason);
  });
}

function abortable(
  promise: Promise<Engine>,
  signal: AbortSignal,
  onAbort: (promise: Promise<Engine>) => void,
): Promise<Engine> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      onAbort(promise);
      reject(signal.reason);
    };
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

async function makeEngine(options: ResolvedInit, signal: AbortSignal | undefined, caller: string): Promise<Engine> {
  // Chunks of their own: who runs the default build on one thread never loads them.
  if (options.build !== "strict" || !hasSimd()) {
    (await import("./wasm/features.ts")).assertSupported(options.build, caller);
  }
  const make = options.threads === 1 ? makeInstance : (await import("./threads/start.ts")).startThreads;
  const engine = finish(await make(options, signal), caller);
  if (options.warmup) await warmUpSlowly(engine);
  return engine;
}

/**
 * An engine of an instance that has answered a known question rightly.
 *
 * @param ahead - whether it is made before it is first called
 */
export function finish(instance: WasmInstance, caller: string, ahead = true): Engine {
  selfTest(instance, caller);
  const engine = new Engine(instance);
  if (ahead) warmUp(engine, false);
  return engine;
}
