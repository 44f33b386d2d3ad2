/**
 * PyTorch: `torch.nn.functional.scaled_dot_product_attention`, and the softcap of `flex_attention`.
 */

import { BitMask } from "../bit-mask.ts";
import type { TensorLike } from "../layout/tensor-like.ts";
import type { Tensor } from "../tensor.ts";
import { contradiction, readBoolean, readCall, readNumber, refuseDropout, type Spelled } from "./call.ts";
import { asMaskOrBias, readTensor } from "./tensor.ts";

const CALLER = "compat.torch";
const NAMES = ["attnMask", "dropoutP", "isCausal", "scale", "enableGqa", "softcap"] as const;

/** The arguments of `scaled_dot_product_attention` beside query, key and value, and one of `flex_attention`. */
export interface TorchCall {
  /** Boolean (true = attend; a BitMask too) or float (added to the scores); broadcast to `[batch, heads, L, S]`. */
  readonly attnMask?: TensorLike | Tensor | BitMask | null | undefined;
  /** Only 0. */
  readonly dropoutP?: number | null | undefined;
  /** Row i sees key j iff `j <= i`, whatever the lengths (the upper left corner). Not together with `attnMask`. */
  readonly isCausal?: boolean | null | undefined;
  /** Default `1 / sqrt(headDim)`. */
  readonly scale?: number | null | undefined;
  /** Fewer key heads than query heads: always allowed here, in PyTorch's order of heads. */
  readonly enableGqa?: boolean | null | undefined;
  /**
   * Of `flex_attention`, whose `score_mod` is then `softcap * tanh(score / softcap)`: the score modification that a
   * function of numbers cannot say through `attnMask`. Applied before the mask.
   */
  readonly softcap?: number | null | undefined;
}

/** What {@link torch} gives. */
export interface TorchOptions {
  readonly layout: "bhsd";
  readonly causal?: true;
  readonly qOffset?: "top-left";
  readonly mask?: TensorLike | Tensor | BitMask;
  readonly bias?: TensorLike | Tensor;
  readonly scale?: number;
  readonly softcap?: number;
}

/**
 * The options of `attention` that do what PyTorch's `scaled_dot_product_attention` does with these arguments. Tensors
 * are `[batch, heads, length, headDim]` there, so the layout is `"bhsd"`.
 *
 * `is_causal` with different lengths is aligned to the upper left corner, as in PyTorch; for
 * `torch.nn.attention.bias.causal_lower_right` write `{ causal: true, qOffset: "bottom-right" }`. A row that sees no
 * key is 0, as in PyTorch from 2.5 on.
 *
 * @throws TypeError `ERR_SACCADE_OPTION` (unknown argument, `attnMask` with `isCausal`), `ERR_SACCADE_ARGUMENT`,
 *   `ERR_SACCADE_DTYPE`; RangeError `ERR_SACCADE_SHAPE`; SaccadeError `ERR_SACCADE_UNSUPPORTED` (dropout)
 *
 * @example
 * ```ts
 * const { out } = attention(query, key, value, compat.torch({ isCausal: true, enableGqa: true }));
 * ```
 */
export function torch(call: Spelled<TorchCall> = {}): TorchOptions {
  const { attnMask, dropoutP, isCausal, scale, enableGqa, softcap } = readCall(call, NAMES, CALLER);
  refuseDropout(dropoutP, CALLER, "dropoutP");
  readBoolean(enableGqa, CALLER, "enableGqa");
  const factor = readNumber(scale, CALLER, "scale");
  const cap = readNumber(softcap, CALLER, "softcap");
  const common = {
    layout: "bhsd",
    ...(factor === undefined ? {} : { scale: factor }),
    ...(cap === undefined ? {} : { softcap: cap }),
  } as const;
  const causal = readBoolean(isCausal, CALLER, "isCausal");
  if (attnMask === undefined) return causal ? { ...common, causal, qOffset: "top-left" } : common;
  if (causal) {
    throw contradiction(
      CALLER,
      "attnMask and isCausal are given together, which PyTorch refuses; put the rule into the mask",
    );
  }
  if (attnMask instanceof BitMask) return { ...common, mask: attnMask };
  const source = readTensor(attnMask, CALLER, "attnMask");
  return { ...common, [asMaskOrBias(source, CALLER)]: source.given };
}
