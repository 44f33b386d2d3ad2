/**
 * The package in a worker of its own: what both entries of `saccade/worker` export.
 *
 * @packageDocumentation
 */

export type { AsyncOptions, Progress } from "../control.ts";
export type { WorkerLike } from "./connection.ts";
export { createWorkerEngine, WorkerEngine, type WorkerEngineOptions } from "./engine.ts";
export type { WorkerCallOptions } from "./functions.ts";
export { WorkerKvCache } from "./kv-cache.ts";
export {
  WorkerBahdanauDecoder,
  WorkerGRU,
  WorkerLayerNorm,
  WorkerLinear,
  WorkerMultiHeadAttention,
} from "./layers.ts";
export { WorkerTensor } from "./tensor.ts";
