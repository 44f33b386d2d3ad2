/**
 * Attention for every place JavaScript runs: what every entry of this package exports.
 *
 * @packageDocumentation
 */

export {
  addSinusoidalPositionsAsync,
  attentionAsync,
  attentionPartialAsync,
  attentionPoolingAsync,
  embeddingAsync,
  fitWidthAsync,
  layerNormAsync,
  linearAsync,
  logSumExpAsync,
  maskedSoftmaxAsync,
  mergePartialsAsync,
  nadarayaWatsonAsync,
  rmsNormAsync,
  ropeAsync,
  selfAttentionAsync,
  shawRelativeAsync,
  sinusoidalPositionsAsync,
  t5RelativeBiasAsync,
  temporalAttentionAsync,
  temporalSelfAttentionAsync,
  transformerXlAttentionAsync,
} from "./async.ts";
export { attention } from "./attention.ts";
export type {
  AttentionBaseOptions,
  AttentionBatchOptions,
  AttentionOptions,
  AttentionPackedOptions,
  AttentionResult,
  AttentionTarget,
  AttentionTargets,
  AttentionWindow,
  OutDTypeOf,
  TapStage,
  TopWeights,
  TopWeightsTarget,
  WeightsOption,
} from "./attention-options.ts";
export { BitMask, type BitMaskPosition, type DocumentIds } from "./bit-mask.ts";
export type { CacheRows } from "./cache/rows.ts";
export { type Capabilities, capabilities } from "./capabilities.ts";
export * as compat from "./compat/index.ts";
export type { AsyncOptions, Progress } from "./control.ts";
export type { DataOf, DType, Float16Data, FloatDType, TensorData } from "./dtype.ts";
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
export { createEngine, type InitOptions, init, type MemoryOptions } from "./init.ts";
export { type InitSyncOptions, initSync } from "./init-sync.ts";
export {
  type FitStep,
  type FittedWidth,
  type FitWidthOptions,
  fitWidth,
  type NadarayaWatsonOptions,
  type NadarayaWatsonResult,
  nadarayaWatson,
  type RegressionKernel,
} from "./kernel-regression.ts";
export { KvCache } from "./kv-cache.ts";
export type { CacheDType, KvCacheAppendOptions, KvCacheAttendOptions, KvCacheOptions } from "./kv-cache-options.ts";
export { type LayerNormOptions, layerNorm, type RmsNormOptions, rmsNorm } from "./layer-norm.ts";
export { type Activation, type LinearOptions, linear } from "./linear.ts";
export type { AttentionPart, AttentionPartEdge } from "./part.ts";
export { decodePartial, encodePartial } from "./part-codec.ts";
export {
  type AttentionPartialOptions,
  attentionPartial,
  type MergeOptions,
  type MergeResult,
  mergePartials,
  mergeStates,
} from "./partial.ts";
export { type AttentionPlan, type AttentionShapes, planAttention } from "./plan-attention.ts";
export {
  gumbel,
  hardmax,
  type Normalize,
  sample,
  sigmoid,
  softmax,
  sparsemax,
  sum,
  threshold,
  topK,
} from "./pooling/normalize.ts";
export {
  additive,
  boxcar,
  concat,
  cosine,
  dot,
  epanechnikov,
  gaussian,
  general,
  location,
  type MlpLayer,
  mlp,
  Score,
  type ScoreKind,
  scaledDot,
  triangular,
} from "./pooling/score.ts";
export { attentionPooling, type PoolingOptions, type PoolingResult } from "./pooling.ts";
export {
  type AddSinusoidalOptions,
  addSinusoidalPositions,
  alibiSlopes,
  type EmbeddingOptions,
  embedding,
  type SinusoidalOptions,
  sinusoidalPositions,
} from "./positions.ts";
export type { ProjectedAttentionOptions, ProjectedAttentionResult, Projections } from "./projected-attention.ts";
export {
  type RelativeAttentionResult,
  type ShawOptions,
  shawRelative,
  type T5BiasOptions,
  type TransformerXlOptions,
  t5RelativeBias,
  transformerXlAttention,
} from "./relative.ts";
export { type RopeOptions, type RopeScaling, type RopeTables, rope } from "./rotary.ts";
export { type SelfAttentionOptions, selfAttention } from "./self-attention.ts";
export {
  type LogSumExpOptions,
  logSumExp,
  maskedSoftmax,
  type SoftmaxOptions,
  type VisibleOptions,
} from "./softmax.ts";
export {
  type TemporalAttentionOptions,
  type TemporalAttentionResult,
  type TemporalSelfAttentionOptions,
  type TemporalSelfAttentionResult,
  temporalAttention,
  temporalSelfAttention,
} from "./temporal.ts";
export {
  type DTypeOf,
  type PlainTensor,
  Tensor,
  type TensorInput,
  type TensorLike,
  type TensorOptions,
} from "./tensor.ts";
export type { ThreadsUnavailable } from "./threads/availability.ts";
export type { ThreadReason } from "./threads/reason.ts";
export type { CreateWorker, ThreadWorker } from "./threads/slot.ts";
export type { WasmSource } from "./wasm/given-module.ts";
export type { Build } from "./wasm/instance.ts";
