/**
 * Attention for every place JavaScript runs: what every entry of this package exports.
 *
 * @packageDocumentation
 */

export {
  type AttentionOptions,
  type AttentionResult,
  type AttentionTarget,
  type AttentionTargets,
  attention,
} from "./attention.ts";
export { type Capabilities, capabilities } from "./capabilities.ts";
export type { DataOf, DType, Float16Data, TensorData } from "./dtype.ts";
export type { Engine, EngineStats } from "./engine.ts";
export {
  type ErrorCode,
  type RangeErrorCode,
  SaccadeError,
  type SaccadeErrorDetails,
  SaccadeRangeError,
  SaccadeTypeError,
  type StateErrorCode,
  type TypeErrorCode,
} from "./errors.ts";
export { createEngine, type InitOptions, type InitSyncOptions, init, initSync, type MemoryOptions } from "./init.ts";
export {
  type DTypeOf,
  type PlainTensor,
  Tensor,
  type TensorInput,
  type TensorLike,
  type TensorOptions,
} from "./tensor.ts";
export type { Build } from "./wasm/instance.ts";
export type { WasmSource } from "./wasm/loader.ts";
