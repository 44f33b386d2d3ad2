/**
 * The other end: in the worker, an engine that answers calls one after the other.
 */

import { BitMask } from "../bit-mask.ts";
import type { Engine } from "../engine.ts";
import * as direct from "../index.ts";
import type { Rule } from "../mask/rule.ts";
import { Score, type ScoreSpec } from "../pooling/score.ts";
import { decode, type SpecialDecoder } from "./decode.ts";
import { encode } from "./encode.ts";
import { encodeError } from "./encode-error.ts";
import { CALLS, METHODS } from "./functions.ts";
import { type Answer, type CacheState, isOurs, PROTOCOL, type Request, type WireNode } from "./wire.ts";

/** How the worker speaks to its owner. */
export interface HostPort {
  post(message: Answer, transfer: readonly ArrayBuffer[]): void;
  listen(receive: (message: unknown) => void): void;
}

type CallRequest = Extract<Request, { saccade: "call" }>;
type Resident = direct.Tensor | direct.KvCache;

/** Answers whoever made this worker. */
export function serve(port: HostPort): void {
  const host = new Host(port);
  port.listen((message) => {
    if (isOurs(message)) host.receive(message as Request);
  });
}

class Host {
  readonly #port: HostPort;
  readonly #residents = new Map<number, Resident>();
  readonly #ids = new WeakMap<Resident, number>();
  #engine: Engine | undefined;
  #lastId = 0;
  #running: { readonly id: number; readonly abort: AbortController } | undefined;

  constructor(port: HostPort) {
    this.#port = port;
  }

  receive(request: Request): void {
    switch (request.saccade) {
      case "start":
        this.#start(request.options as direct.InitOptions, request.lock);
        break;
      case "call":
        this.#answer(request);
        break;
      case "abort":
        if (this.#running?.id === request.id) this.#running.abort.abort();
        break;
      case "release":
        this.#residents.get(request.handle)?.dispose();
        this.#residents.delete(request.handle);
    }
  }

  async #start(options: direct.InitOptions, lock: string): Promise<void> {
    this.#port.post({ saccade: "hello", protocol: PROTOCOL, locked: await holds(lock) }, []);
    try {
      this.#engine = await direct.createEngine(options);
      const { build, numerics } = this.#engine.stats();
      this.#port.post({ saccade: "ready", build, numerics }, []);
    } catch (error) {
      this.#port.post({ saccade: "failed", error: encodeError(error) }, []);
    }
  }

  async #answer(request: CallRequest): Promise<void> {
    const { id, name, handle } = request;
    const cache = handle === undefined ? undefined : this.#residents.get(handle);
    const stateOf = (): CacheState | undefined => (cache instanceof direct.KvCache ? cacheState(cache) : undefined);
    const abort = new AbortController();
    this.#running = { id, abort };
    try {
      const value = await this.#run(request, abort.signal);
      const encoded = encode([["", value]], (resident) => this.#encodeResident(resident), "give", name);
      this.#port.post({ saccade: "result", id, value: encoded, state: stateOf() }, encoded.buffers);
    } catch (error) {
      this.#port.post({ saccade: "error", id, error: encodeError(error), state: stateOf() }, []);
    } finally {
      this.#running = undefined;
    }
  }

  /** Asks the asynchronous twin where there is one, so that word of an abort can come in. */
  #run({ id, name, handle, args: encoded, reports }: CallRequest, signal: AbortSignal): unknown {
    const args = decode(encoded, this.#decodeSpecial) as unknown[];
    const at = CALLS[name];
    const report = ({ done, total }: direct.Progress): void => {
      this.#port.post({ saccade: "progress", id, done, total }, []);
    };
    const controls = reports ? { signal, onProgress: report } : { signal };
    const ask = (owner: unknown, method: string): unknown => {
      const functions = owner as Record<string, (...args: unknown[]) => unknown>;
      const twin = `${method}Async`;
      if (!(twin in functions) || !isBag(args[at])) return functions[method]!(...args);
      args[at] = { ...(args[at] as object | undefined), ...controls };
      return functions[twin]!(...args);
    };
    const path = name.split(".");
    const last = path.at(-1)!;
    if (METHODS[name] !== undefined) {
      return ask(handle === undefined ? this.#engine : this.#residents.get(handle), last);
    }
    if (isBag(args[at])) args[at] = { ...(args[at] as object | undefined), engine: this.#engine };
    if (name === "KvCache") return new direct.KvCache(args[0] as direct.KvCacheOptions);
    return ask(path.length > 1 ? (direct as unknown as Record<string, unknown>)[path[0]!] : direct, last);
  }

  readonly #decodeSpecial: SpecialDecoder = (node, item) => {
    switch (node.kind) {
      case "mask":
        return BitMask.ofRule(item(node.rule) as Rule);
      case "score":
        return new Score(item(node.spec) as ScoreSpec);
      case "handle":
        return this.#residents.get(node.id);
    }
  };

  #encodeResident(value: object): WireNode | undefined {
    if (!(value instanceof direct.Tensor || value instanceof direct.KvCache)) return undefined;
    let id = this.#ids.get(value);
    if (id === undefined) {
      this.#lastId += 1;
      id = this.#lastId;
      this.#ids.set(value, id);
      this.#residents.set(id, value);
    }
    if (value instanceof direct.Tensor) {
      return { kind: "handle", of: "Tensor", id, facts: { shape: [...value.shape], dtype: value.dtype } };
    }
    const { batch, dtype, capacity } = value;
    return { kind: "handle", of: "KvCache", id, facts: { batch, dtype, capacity, ...cacheState(value) } };
  }
}

/** Whether something can be options; what cannot is left for the function to refuse. */
function isBag(options: unknown): boolean {
  return options === undefined || (typeof options === "object" && options !== null && !Array.isArray(options));
}

/** Undefined where the engine is lost, of which the call itself tells. */
function cacheState(cache: direct.KvCache): CacheState | undefined {
  try {
    const { length, lengths, retained } = cache;
    return { length, lengths, retained };
  } catch {
    return undefined;
  }
}

/** Holds a lock for as long as this worker lives, so that its owner notices when it ends; false where there are no locks. */
function holds(lock: string): Promise<boolean> {
  const locks = (globalThis as { navigator?: { locks?: LockManager } }).navigator?.locks;
  return new Promise((resolve) => {
    if (locks === undefined) resolve(false);
    else {
      const keep = (): Promise<never> => {
        resolve(true);
        return new Promise(() => {});
      };
      locks.request(lock, keep).catch(() => resolve(false));
    }
  });
}
