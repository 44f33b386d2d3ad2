/**
 * Calls of other systems, translated into calls of `attention`. What cannot be expressed is refused by name, and so is
 * every name that the other system does not have.
 *
 * `torch`, `jax` and `flash` give options; `onnx` and `ort` translate a graph's node: they give query, key and value
 * (with the cache put together), options, and a function that makes the node's outputs of the result.
 */

import { multiHeadAttention } from "./ort.ts";
import { groupQueryAttention } from "./ort-gqa.ts";

export { type FlashCall, type FlashOptions, flash } from "./flash.ts";
export { type JaxCall, type JaxOptions, jax } from "./jax.ts";
export {
  type OnnxAttention,
  type OnnxAttentionOptions,
  type OnnxAttributes,
  type OnnxInputs,
  type OnnxOptions,
  type OnnxOutputName,
  type OnnxOutputs,
  onnx,
} from "./onnx.ts";
export type {
  MultiHeadAttentionAttributes,
  MultiHeadAttentionInputs,
  OrtAttention,
  OrtAttentionOptions,
  OrtOptions,
  OrtOutputName,
  OrtOutputs,
} from "./ort.ts";
export type { GroupQueryAttentionAttributes, GroupQueryAttentionInputs } from "./ort-gqa.ts";
export { type TorchCall, type TorchOptions, torch } from "./torch.ts";

/** The contrib operators of onnxruntime (com.microsoft). */
export const ort = Object.freeze({ multiHeadAttention, groupQueryAttention });
