/**
 * The other end: in the worker, an engine that answers calls one after the other.
 */

import { isBag } from "../async/bag.ts";
import { BitMask } from "../bit-mask.ts";
import type { Engine } from "../engine.ts";
import * as direct from "../index.ts";
import type { Rule } from "../mask/rule.ts";
import * as nn from "../nn/index.ts";
import { Score, type ScoreSpec } from "../pooling/score.ts";
import * as vision from "../vision/index.ts";
import { decode, type SpecialDecoder } from "./decode.ts";
import { encode } from "./encode.ts";
import { encodeError } from "./encode-error.ts";
import { CALLS, CONSTRUCTORS, METHODS } from "./functions.ts";
import { LAYER_FACTS, type LayerName } from "./layers.ts";
import { type Answer, type CacheState, isOurs, PROTOCOL, type Request, type WireNode } from "./wire.ts";

/** How the worker speaks to its owner. */
export interface HostPort {
  post(message: Answer, transfer: readonly ArrayBuffer[]): void;
  listen(receive: (message: unknown) => void): void;
}

type CallRequest = Extract<Request, { saccade: "call" }>;
const LAYERS = {
  Linear: nn.Linear,
  LayerNorm: nn.LayerNorm,
  GRU: nn.GRU,
  MultiHeadAttention: nn.MultiHeadAttention,
  BahdanauDecoder: nn.BahdanauDecoder,
} as const;
const LAYER_NAMES = Object.keys(LAYERS) as LayerName[];

type Resident = direct.Tensor | direct.KvCache | InstanceType<(typeof LAYERS)[LayerName]>;

/** What names begin at. */
const ENTRIES = { ...direct, vision, nn: LAYERS };

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
    const last = path.pop()!;
    if (METHODS[name] !== undefined) {
      return ask(handle === undefined ? this.#engine : this.#residents.get(handle), last);
    }
    if (isBag(args[at])) args[at] = { ...(args[at] as object | undefined), engine: this.#engine };
    const owner = path.reduce<unknown>((outer, part) => (outer as Record<string, unknown>)[part], ENTRIES);
    if (!CONSTRUCTORS.has(name)) return ask(owner, last);
    return new (owner as Record<string, new (...args: unknown[]) => unknown>)[last]!(...args);
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
    const said = factsOf(value);
    if (said === undefined) return undefined;
    const resident = value as Resident;
    let id = this.#ids.get(resident);
    if (id === undefined) {
      this.#lastId += 1;
      id = this.#lastId;
      this.#ids.set(resident, id);
      this.#residents.set(id, resident);
    }
    return { kind: "handle", id, ...said };
  }
}

/** What is told of something that lives here; undefined for everything else. */
function factsOf(value: object): Pick<Extract<WireNode, { kind: "handle" }>, "of" | "facts"> | undefined {
  if (value instanceof direct.Tensor) return { of: "Tensor", facts: { shape: [...value.shape], dtype: value.dtype } };
  if (value instanceof direct.KvCache) {
    const { batch, dtype, capacity } = value;
    return { of: "KvCache", facts: { batch, dtype, capacity, ...cacheState(value) } };
  }
  const layer = LAYER_NAMES.find((name) => value instanceof LAYERS[name]);
  if (layer === undefined) return undefined;
  const facts = LAYER_FACTS[layer].map((name) => [name, (value as Record<string, unknown>)[name]]);
  return { of: layer, facts: Object.fromEntries(facts) };
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
