/// <reference lib="esnext.disposable" preserve="true" />
/**
 * An engine: one instance of the wasm with a memory of its own. `init` makes the default one, `createEngine` further
 * ones; tensors of one engine cannot be used with another.
 */

import { disposeKey } from "./dispose.ts";
import { wrongKind } from "./errors.ts";
import { selfTest } from "./self-test.ts";
import type { ThreadReason } from "./threads/reason.ts";
import type { Build, WasmInstance } from "./wasm/instance.ts";

/** What {@link Engine.stats} tells. */
export interface EngineStats {
  /** Which artifact runs. */
  readonly build: Build;
  /**
   * The numeric profile. The strict build has the same bits on every engine and CPU; the fast build keeps the meaning
   * and the error bound, not the bits, and says `"relaxed"`.
   */
  readonly numerics: "saccade-attn-f32-v1" | "relaxed";
  /** Bytes that tensors hold (each rounded up to 64), and a call's temporaries while it runs. */
  readonly liveBytes: number;
  /** The largest `liveBytes` so far. */
  readonly peakBytes: number;
  /** Bytes of the wasm memory. It grows when it must and never shrinks. */
  readonly memoryBytes: number;
  /** Tensors that have not been disposed of. */
  readonly tensors: number;
  /** Threads that take part in a call with enough to do, the calling one included. */
  readonly threads: number;
  /** Why they are fewer than were asked for, where they are. */
  readonly threadsReason?: ThreadReason | undefined;
}

let readInstance: (engine: Engine) => WasmInstance;
let isEngine: (value: object) => value is Engine;

/**
 * An engine. Made by `init`, `initSync` and `createEngine`, never with `new`.
 *
 * @example
 * ```ts
 * using engine = await createEngine({ memory: { maximumMiB: 256 } });
 * const { out } = attention(query, key, value, { engine });
 * console.log(engine.stats().peakBytes);
 * ```
 */
export class Engine {
  readonly #instance: WasmInstance;
  readonly #onUse: (() => void) | undefined;

  static {
    readInstance = (engine) => {
      engine.#onUse?.();
      return engine.#instance;
    };
    isEngine = (value): value is Engine => #instance in value;
  }

  /** @internal @param onUse - called when a function takes this engine, having read all its arguments */
  constructor(instance: WasmInstance, onUse?: () => void) {
    this.#instance = instance;
    this.#onUse = onUse;
  }

  /** Whether {@link Engine.dispose} has been called. */
  get disposed(): boolean {
    return this.#instance.disposed;
  }

  /**
   * Memory and build, as they are now.
   *
   * @throws SaccadeError `ERR_SACCADE_DISPOSED`
   */
  stats(): EngineStats {
    const { build, profile, tensors, memoryIfAny, pool } = this.#instance;
    const threadsReason = (pool === undefined ? this.#instance.threadsReason : pool.reason) as ThreadReason | undefined;
    const memory = memoryIfAny ?? this.#instance.memory("stats");
    return {
      build,
      numerics: profile,
      liveBytes: memory.liveBytes,
      peakBytes: memory.peakBytes,
      memoryBytes: memory.byteLength,
      tensors,
      threads: pool?.inUse ?? 1,
      ...(threadsReason === undefined ? {} : { threadsReason }),
    };
  }

  /**
   * Runs a small attention call whose answer is known, and compares. It has already run once when the engine was
   * made, and takes a few milliseconds at most.
   *
   * @throws SaccadeError `ERR_SACCADE_SELF_TEST` where the answer is another one
   */
  selfTest(): void {
    selfTest(this.#instance, "selfTest");
  }

  /** Ends the engine's threads and gives its memory back; its tensors are disposed with it. May be called again. */
  dispose(): void {
    this.#instance.dispose();
  }

  /** {@link Engine.dispose}, for `using`. */
  [disposeKey](): void {
    this.dispose();
  }
}

/**
 * The instance of an engine given in options.
 *
 * @throws TypeError `ERR_SACCADE_ARGUMENT` for anything that is no engine
 */
export function instanceOf(engine: unknown, caller: string): WasmInstance {
  if (typeof engine === "object" && engine !== null && isEngine(engine)) return readInstance(engine);
  throw wrongKind(caller, "options.engine", engine, "an engine made by createEngine() or init()");
}
