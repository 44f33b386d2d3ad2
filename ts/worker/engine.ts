/// <reference lib="esnext.disposable" preserve="true" />
/**
 * An engine in a worker of its own: the functions of this package, each with a promise of its result, while the thread that
 * asks goes on. No shared memory is needed, so that it works on every page.
 */

import { disposeKey } from "../dispose.ts";
import type { DType } from "../dtype.ts";
import type { EngineStats } from "../engine.ts";
import { argumentError, optionError, SaccadeError } from "../errors.ts";
import type { InitOptions } from "../init.ts";
import type { KvCacheOptions } from "../kv-cache-options.ts";
import { takeControls } from "../layout/control.ts";
import { readOptions } from "../layout/options.ts";
import { ResidentHandle } from "../layout/tensor-like.ts";
import { resolveWorker } from "../layout/worker.ts";
import type { DTypeOf, TensorLike } from "../tensor.ts";
import { Calls } from "./calls.ts";
import type { Connection, WorkerLike } from "./connection.ts";
import { decode } from "./decode.ts";
import { encode } from "./encode.ts";
import { CALLS, type CallName, callerOf, METHODS, named, type Promised, type WorkerCallOptions } from "./functions.ts";
import { type CacheFacts, WorkerKvCache } from "./kv-cache.ts";
import { layerHandle, layersOf } from "./layers.ts";
import { workerFactory } from "./platform.ts";
import { lostError, postableSource, start } from "./start.ts";
import { Handle, type HandleOwner, WorkerTensor } from "./tensor.ts";
import { visionOf } from "./vision.ts";
import type { Answer, Encoded, HostOptions, WireNode } from "./wire.ts";

/** Options of {@link createWorkerEngine}. */
export interface WorkerEngineOptions
  extends Pick<InitOptions, "module" | "operators" | "build" | "memory" | "warmup" | "threads"> {
  /** Stops the start; the promise then rejects with the signal's reason, and no worker is left. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Makes the worker, where the package's own way does not suit a bundler: a module worker whose script is, or imports,
   * `saccade/worker-host`. Default: `new Worker(new URL("./worker-host-….js", import.meta.url), { type: "module" })`.
   */
  readonly createWorker?: (() => WorkerLike | PromiseLike<WorkerLike>) | undefined;
  /** How long the worker's script may take to answer, in milliseconds. Default 30,000. */
  readonly startTimeoutMs?: number | undefined;
}

/** Only {@link createWorkerEngine} makes engines. */
const KEY = Symbol("saccade.workerEngine");

/** Names of the options that are read where a function has none of its own. */
const CONTROLS = ["signal", "onProgress", "transfer"] as const;

/**
 * An engine in a worker. Made by {@link createWorkerEngine}.
 *
 * Its functions are those of the main entry, with the same arguments, results, errors and bits. They are answered one after
 * the other, in the order in which they were called. Arguments are read, and what they hold is copied, before the call returns.
 * Beside the function's own options each takes those of {@link WorkerCallOptions}. Options differ in two ways: there is no
 * `engine`, and `out` takes tensors of the worker.
 */
export class WorkerEngine {
  /** Which artifact runs in the worker. */
  readonly build: EngineStats["build"];
  /** Its numeric profile, as in {@link EngineStats.numerics}. */
  readonly numerics: EngineStats["numerics"];
  readonly #connection: Connection;
  readonly #calls: Calls;
  /** Why nothing can be asked any more. */
  #closed: ((caller: string) => SaccadeError) | undefined;
  #lastCall = 0;
  readonly #owner: HandleOwner = ((engine: WorkerEngine) => ({
    get disposed() {
      return engine.disposed;
    },
    call: (name, args, handle) => engine.#call(name, args, handle),
    release: (id) => engine.#calls.release(id),
  }))(this);
  readonly #promised: Promised = ((name: unknown) =>
    (...args: unknown[]) =>
      this.#call(name as CallName, args)) as unknown as Promised;

  // Each as the function of the main entry by its name.
  readonly attention = this.#promised(named("attention"));
  readonly attentionPartial = this.#promised(named("attentionPartial"));
  readonly mergePartials = this.#promised(named("mergePartials"));
  readonly mergeStates = this.#promised(named("mergeStates"));
  readonly planAttention = this.#promised(named("planAttention"));
  readonly attentionPooling = this.#promised(named("attentionPooling"));
  readonly selfAttention = this.#promised(named("selfAttention"));
  readonly nadarayaWatson = this.#promised(named("nadarayaWatson"));
  readonly fitWidth = this.#promised(named("fitWidth"));
  readonly linear = this.#promised(named("linear"));
  readonly layerNorm = this.#promised(named("layerNorm"));
  readonly rmsNorm = this.#promised(named("rmsNorm"));
  readonly maskedSoftmax = this.#promised(named("maskedSoftmax"));
  readonly logSumExp = this.#promised(named("logSumExp"));
  readonly sinusoidalPositions = this.#promised(named("sinusoidalPositions"));
  readonly addSinusoidalPositions = this.#promised(named("addSinusoidalPositions"));
  readonly embedding = this.#promised(named("embedding"));
  readonly t5RelativeBias = this.#promised(named("t5RelativeBias"));
  readonly shawRelative = this.#promised(named("shawRelative"));
  readonly transformerXlAttention = this.#promised(named("transformerXlAttention"));
  readonly rope = this.#promised(named("rope"));
  readonly temporalAttention = this.#promised(named("temporalAttention"));
  readonly temporalSelfAttention = this.#promised(named("temporalSelfAttention"));

  /** The functions of `saccade/vision`. */
  readonly vision = visionOf(this.#promised);

  /** The layers of `saccade/nn`, which live in the worker: `create` is `new`. */
  readonly nn = layersOf((name, args) => this.#call(name, args));

  /** Tensors that live in the worker, so that calls need not send them: as the functions of `Tensor`. */
  readonly Tensor = Object.freeze({
    from: <const T extends TensorLike | WorkerTensor>(
      source: T,
      options?: WorkerCallOptions,
    ): Promise<WorkerTensor<DTypeOf<T>>> =>
      this.#call("Tensor.from", [source, options]) as Promise<WorkerTensor<DTypeOf<T>>>,
    zeros: <D extends DType = "float32">(
      shape: ArrayLike<number>,
      dtype?: D | undefined,
      options?: WorkerCallOptions,
    ): Promise<WorkerTensor<D>> => this.#call("Tensor.zeros", [shape, dtype, options]) as Promise<WorkerTensor<D>>,
    empty: <D extends DType = "float32">(
      shape: ArrayLike<number>,
      dtype?: D | undefined,
      options?: WorkerCallOptions,
    ): Promise<WorkerTensor<D>> => this.#call("Tensor.empty", [shape, dtype, options]) as Promise<WorkerTensor<D>>,
  });

  /** Caches that live in the worker: `create` is `new KvCache`. */
  readonly KvCache = Object.freeze({
    create: (options: Omit<KvCacheOptions, "engine"> & WorkerCallOptions): Promise<WorkerKvCache> =>
      this.#call("KvCache", [options]) as Promise<WorkerKvCache>,
    deserialize: (bytes: Uint8Array, options?: WorkerCallOptions): Promise<WorkerKvCache> =>
      this.#call("KvCache.deserialize", [bytes, options]) as Promise<WorkerKvCache>,
  });

  /** @internal */
  constructor(key: symbol, connection: Connection, { build, numerics }: Extract<Answer, { saccade: "ready" }>) {
    if (key !== KEY) {
      throw argumentError("WorkerEngine", "an engine is not made with new; use createWorkerEngine()");
    }
    this.#connection = connection;
    this.#calls = new Calls(connection);
    this.build = build;
    this.numerics = numerics as EngineStats["numerics"];
  }

  /** Whether nothing can be asked any more: {@link WorkerEngine.dispose} has been called, or the worker is lost. */
  get disposed(): boolean {
    return this.#closed !== undefined;
  }

  /** Memory and build of the engine in the worker, once the calls before this one have run. */
  stats(options?: WorkerCallOptions): Promise<EngineStats> {
    return this.#call("stats", [options]) as Promise<EngineStats>;
  }

  /** Runs the known-answer test in the worker, as `Engine.selfTest`. */
  selfTest(options?: WorkerCallOptions): Promise<void> {
    return this.#call("selfTest", [options]) as Promise<void>;
  }

  /** Ends the worker. Calls that have not been answered reject with `ERR_SACCADE_DISPOSED`. May be called again. */
  dispose(): void {
    if (this.#closed !== undefined) return;
    this.#close(
      (caller) => new SaccadeError("ERR_SACCADE_DISPOSED", `${caller}: the engine in the worker has been disposed`),
    );
    this.#connection.end();
  }

  /** {@link WorkerEngine.dispose}, for `using`. */
  [disposeKey](): void {
    this.dispose();
  }

  /** @internal Takes what the worker says. */
  answered(message: Answer): void {
    if ("id" in message) this.#calls.answered(message);
  }

  /** @internal The worker has gone. */
  lost(reason: string, cause: unknown): void {
    if (this.#closed === undefined) this.#close((caller) => lostError(caller, reason, cause));
  }

  #close(reason: (caller: string) => SaccadeError): void {
    this.#closed = reason;
    this.#calls.fail(reason);
  }

  async #call(name: CallName, args: readonly unknown[], handle?: Handle): Promise<unknown> {
    const caller = callerOf(name);
    if (this.#closed !== undefined) throw this.#closed(caller);
    const at = CALLS[name];
    const hasOptions = METHODS[name]?.hasOptions ?? true;
    if (!hasOptions) readOptions(args[at], CONTROLS, caller);
    const controls = takeControls(args[at], caller, true);
    controls.signal?.throwIfAborted();
    const options = hasOptions ? controls.rest : undefined;
    if (hasOptions) proveOptions(options, caller);
    const handles = new Map<number, Handle>();
    const positional = Array.from({ length: at }, (_, index) => [`argument ${index + 1}`, args[index]] as const);
    const id = handle === undefined ? undefined : this.#idOf(handle, caller, "it");
    const encoded = encode(
      [...positional, ["options", options] as const],
      (value, path) => this.#encodeHandle(value, path, caller, handles),
      controls.transfer ? "move" : "copy",
      caller,
    );
    const reports = controls.onProgress !== undefined;
    this.#lastCall += 1;
    return this.#calls.submit({
      request: { saccade: "call", id: this.#lastCall, name, handle: id, args: encoded, reports },
      controls,
      decode: (value) => (decode(value, (node) => this.#decodeHandle(node, handles)) as [unknown])[0],
      note: handle instanceof WorkerKvCache ? (state) => handle.note(state) : undefined,
      discard: (value) => this.#discard(value, handles),
    });
  }

  /** The number of a handle of this worker. */
  #idOf(value: object, caller: string, path: string): number | undefined {
    const handle = Handle.of(value);
    if (handle === undefined) return undefined;
    if (handle.owner !== this.#owner) {
      throw new SaccadeError("ERR_SACCADE_FOREIGN", `${caller}: ${path} lives in another worker; pass its toPlain()`);
    }
    if (!handle.disposed) return handle.id;
    throw new SaccadeError("ERR_SACCADE_DISPOSED", `${caller}: ${path} cannot be used: it has been disposed`);
  }

  #encodeHandle(value: object, path: string, caller: string, handles: Map<number, Handle>): WireNode | undefined {
    if (ResidentHandle.residentOf(value) !== undefined) {
      throw new SaccadeError(
        "ERR_SACCADE_FOREIGN",
        `${caller}: ${path} is a Tensor of an engine of this thread; pass its toPlain(), or make it with the worker's Tensor.from`,
      );
    }
    const id = this.#idOf(value, caller, path);
    if (id === undefined) return undefined;
    handles.set(id, value as Handle);
    return { kind: "handle", of: value instanceof WorkerKvCache ? "KvCache" : "Tensor", id, facts: undefined };
  }

  #decodeHandle(node: WireNode, handles: ReadonlyMap<number, Handle>): Handle {
    const { of, id, facts } = node as Extract<WireNode, { kind: "handle" }>;
    // A tensor that was given as a target comes back as the very object.
    const known = handles.get(id);
    if (known !== undefined) return known;
    if (of === "KvCache") return new WorkerKvCache(this.#owner, id, facts as CacheFacts);
    if (of !== "Tensor") return layerHandle(of, this.#owner, id, facts);
    const { shape, dtype } = facts as { readonly shape: readonly number[]; readonly dtype: DType };
    return new WorkerTensor(this.#owner, id, shape, dtype);
  }

  /** Gives up what a call made whose promise has been rejected in the meantime. */
  #discard({ nodes }: Encoded, handles: ReadonlyMap<number, Handle>): void {
    for (const node of nodes) {
      if (node.kind === "handle" && !handles.has(node.id)) this.#calls.release(node.id);
    }
  }
}

/** Refuses what has no meaning across a boundary. */
function proveOptions(options: unknown, caller: string): void {
  if (typeof options !== "object" || options === null) return;
  const { engine, out } = options as { readonly engine?: unknown; readonly out?: unknown };
  if (engine !== undefined) {
    throw optionError(caller, "options.engine cannot be given: the worker has an engine of its own");
  }
  proveTarget(out, caller, "options.out", 0);
}

/** A worker cannot write into memory of this thread. */
function proveTarget(target: unknown, caller: string, path: string, depth: number): void {
  if (typeof target !== "object" || target === null || Handle.of(target) !== undefined || depth > 2) return;
  if ("data" in target) {
    throw new SaccadeError(
      "ERR_SACCADE_UNSUPPORTED",
      `${caller}: ${path} lies in memory of this thread, which a worker cannot write to; leave it out (results are moved here, ` +
        "not copied), or give a tensor of the worker",
    );
  }
  for (const name of Object.keys(target)) {
    proveTarget((target as Record<string, unknown>)[name], caller, `${path}.${name}`, depth + 1);
  }
}

/**
 * Makes an engine in a worker of its own: its functions are those of the main entry, with the same results, errors and bits,
 * but give promises, and the thread that asks stays free. Works without shared memory, so on pages that are not
 * cross-origin isolated too, and under `script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'`.
 *
 * What arguments hold is copied when a call is made (`transfer: true` moves their buffers instead); results are moved back. What
 * many calls share should live in the worker: {@link WorkerEngine.Tensor}, {@link WorkerEngine.KvCache}.
 *
 * In Node an idle worker does not keep a program from ending.
 *
 * @throws (the promise rejects) SaccadeError `ERR_SACCADE_WORKER` (it cannot be made, or its script cannot be loaded),
 *   `ERR_SACCADE_TIMEOUT` (it does not answer); as `createEngine` where the engine in the worker cannot be made; the signal's reason.
 *   Calls reject with what the direct function throws, and with `ERR_SACCADE_WORKER` once the worker is lost
 *
 * @example
 * ```ts
 * import { createWorkerEngine } from "saccade/worker";
 *
 * using remote = await createWorkerEngine();
 * const x = { data: new Float32Array([1, 2]), shape: [1, 2] };
 * const { out } = await remote.attention(x, x, x);
 * console.log(out.data); // 1, 2
 * ```
 */
export async function createWorkerEngine(options?: WorkerEngineOptions): Promise<WorkerEngine> {
  const { module, operators, engine, signal, createWorker, startTimeoutMs } = resolveWorker(options);
  signal?.throwIfAborted();
  const sources = {
    module: await postableSource(module, "module", signal),
    operators: await postableSource(operators, "operators", signal),
  };
  signal?.throwIfAborted();
  let made: WorkerEngine | undefined;
  const { connection, ready } = await start(
    {
      createWorker: createWorker ?? workerFactory(),
      options: { ...engine, ...sources } as HostOptions,
      signal,
      timeoutMs: startTimeoutMs,
    },
    {
      answer: (message) => made?.answered(message),
      lost: (reason, cause) => made?.lost(reason, cause),
    },
  );
  made = new WorkerEngine(KEY, connection, ready);
  return made;
}
