/**
 * `saccade/nn`: layers that hold their weights in an engine's memory.
 *
 * @module
 */
export type { AsyncOptions, Progress } from "../control.ts";
export {
  BahdanauDecoder,
  type BahdanauDecoderWeights,
  type BahdanauEncodeOptions,
  type BahdanauStep,
} from "./bahdanau-decoder.ts";
export { GRU, type GRUCallOptions, type GRUOptions, type GRUResult } from "./gru.ts";
export { LayerNorm, type LayerNormLayerOptions } from "./layer-norm.ts";
export { Linear, type LinearCallOptions, type LinearLayerOptions } from "./linear.ts";
export {
  type HeadScore,
  MultiHeadAttention,
  type MultiHeadAttentionOptions,
  type MultiHeadAttentionStateOptions,
  type MultiHeadAttentionWeights,
} from "./multi-head-attention.ts";
export type { StateDict } from "./state-dict.ts";
