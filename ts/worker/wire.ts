/**
 * What travels between a page and its worker, or between a program and its.
 */

import type { InitOptions } from "../init.ts";
import type { CallName } from "./functions.ts";
import type { LayerName } from "./layers.ts";

/** Both sides must speak the same version: a worker supplied by the user may be an old file. */
export const PROTOCOL = 1;

/** A value of {@link Encoded}: a primitive, or a link to a node. */
export type Item = undefined | null | boolean | number | bigint | string | { readonly at: number };

/** What an {@link Item} links to. Sharing and cycles are kept, since links are by number. */
export type WireNode =
  | { readonly kind: "list"; items: readonly Item[] }
  | { readonly kind: "record"; names: readonly string[]; values: readonly Item[] }
  /** A Map whose keys are strings. */
  | { readonly kind: "map"; names: readonly string[]; values: readonly Item[] }
  /** A typed array, by the name of its constructor. */
  | { readonly kind: "view"; readonly type: string; buffer: number; byteOffset: number; readonly length: number }
  | { readonly kind: "buffer"; buffer: number }
  /** A typed array over a buffer that has been detached. */
  | { readonly kind: "detached"; readonly type: string }
  /** What cannot be sent: the function that gets it will refuse it, as it would here. */
  | { readonly kind: "inert"; readonly type: "function" | "symbol" | "object" }
  | { readonly kind: "mask"; rule: Item }
  | { readonly kind: "score"; spec: Item }
  /** A tensor, cache or layer of the worker. */
  | {
      readonly kind: "handle";
      readonly of: "Tensor" | "KvCache" | LayerName;
      readonly id: number;
      readonly facts: unknown;
    };

/** A value in pieces that can be posted. */
export interface Encoded {
  readonly root: Item;
  readonly nodes: readonly WireNode[];
  /** To be transferred. */
  readonly buffers: readonly ArrayBuffer[];
}

/** An error in pieces that can be posted. */
export interface EncodedError {
  readonly kind: "state" | "type" | "range" | "other";
  readonly name: string;
  readonly message: string;
  readonly code: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;
  readonly cause: EncodedError | undefined;
}

/** The lengths of a cache, sent with every answer of one. */
export interface CacheState {
  readonly length: number;
  readonly lengths: readonly number[];
  readonly retained: number;
}

/** Options of the engine in the worker: those that can be posted. */
export type HostOptions = Pick<InitOptions, "build" | "memory" | "warmup" | "threads"> & {
  readonly module: unknown;
  readonly operators: unknown;
};

/** To the worker. */
export type Request =
  | { readonly saccade: "start"; readonly options: HostOptions; readonly lock: string }
  | {
      readonly saccade: "call";
      readonly id: number;
      readonly name: CallName;
      /** Whose method it is. */
      readonly handle: number | undefined;
      readonly args: Encoded;
      readonly reports: boolean;
    }
  | { readonly saccade: "abort"; readonly id: number }
  | { readonly saccade: "release"; readonly handle: number };

/** From the worker. */
export type Answer =
  /** The script runs; `locked`: it holds the lock that it was told of. */
  | { readonly saccade: "hello"; readonly protocol: number; readonly locked: boolean }
  | { readonly saccade: "ready"; readonly build: "strict" | "fast"; readonly numerics: string }
  | { readonly saccade: "failed"; readonly error: EncodedError }
  | { readonly saccade: "result"; readonly id: number; readonly value: Encoded; readonly state: CacheState | undefined }
  | {
      readonly saccade: "error";
      readonly id: number;
      readonly error: EncodedError;
      readonly state: CacheState | undefined;
    }
  | { readonly saccade: "progress"; readonly id: number; readonly done: number; readonly total: number };

/** Whether something posted is one of ours: a worker supplied by the user may speak of other things too. */
export function isOurs(message: unknown): boolean {
  return typeof message === "object" && message !== null && "saccade" in message;
}
