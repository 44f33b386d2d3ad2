/**
 * JAX: `jax.nn.dot_product_attention`.
 */

import { BitMask } from "../bit-mask.ts";
import { dtypeError, wrongKind } from "../errors.ts";
import { proveWord } from "../layout/options.ts";
import type { TensorLike } from "../layout/tensor-like.ts";
import type { Tensor } from "../tensor.ts";
import { readBoolean, readCall, readInteger, readNumber, type Spelled } from "./call.ts";
import { asMaskOrBias, readOptional } from "./tensor.ts";
import { countOf, type WindowOption } from "./window.ts";

const CALLER = "compat.jax";
const NAMES = [
  "bias",
  "mask",
  "scale",
  "isCausal",
  "querySeqLengths",
  "keyValueSeqLengths",
  "localWindowSize",
  "implementation",
  "returnResidual",
] as const;

/** The arguments of `dot_product_attention` beside query, key and value. */
export interface JaxCall {
  /** Added to the scores; broadcast to `[batch, heads, T, S]`. */
  readonly bias?: TensorLike | Tensor | null | undefined;
  /** Boolean, true = attend (a BitMask too); broadcast to `[batch, heads, T, S]`. */
  readonly mask?: TensorLike | Tensor | BitMask | null | undefined;
  /** Default `1 / sqrt(headDim)`. */
  readonly scale?: number | null | undefined;
  /** Row i sees key j iff `j <= i`, whatever the lengths. */
  readonly isCausal?: boolean | null | undefined;
  /** Valid rows per batch row; the others are 0. */
  readonly querySeqLengths?: ArrayLike<number> | null | undefined;
  /** Valid keys per batch row. */
  readonly keyValueSeqLengths?: ArrayLike<number> | null | undefined;
  /** `[left, right]` keys around the row's own position, or one number for both. */
  readonly localWindowSize?: number | readonly [number, number] | null | undefined;
  /** Which kernel JAX would take: of no consequence here. */
  readonly implementation?: "xla" | "cudnn" | null | undefined;
  /** Gives `returnLse`. `lse` is `[batch, heads, T]` here, the residual `[batch, T, heads]` there. */
  readonly returnResidual?: boolean | null | undefined;
}

/** What {@link jax} gives. */
export interface JaxOptions {
  readonly layout: "bshd";
  readonly scale?: number;
  readonly bias?: TensorLike | Tensor;
  readonly mask?: TensorLike | Tensor | BitMask;
  readonly causal?: true;
  readonly window?: WindowOption;
  readonly qOffset?: "top-left";
  readonly qLengths?: ArrayLike<number>;
  readonly kvLengths?: ArrayLike<number>;
  readonly returnLse?: boolean;
}

/**
 * The options of `attention` that do what `jax.nn.dot_product_attention` does with these arguments. Tensors are
 * `[batch, length, heads, headDim]` there, so the layout is `"bshd"`. The causal rule and the window count positions
 * from row 0 and key 0, whatever the lengths.
 *
 * A row inside `querySeqLengths` that sees no key is 0 here; JAX's masked scores are a large negative number instead of
 * -Infinity, so there it is the mean of all values.
 *
 * @throws TypeError `ERR_SACCADE_OPTION` (unknown argument), `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE` (a mask that
 *   is not boolean, a bias that is); RangeError `ERR_SACCADE_RANGE`, `ERR_SACCADE_SHAPE`
 *
 * @example
 * ```ts
 * const options = compat.jax({ isCausal: true, localWindowSize: [255, 0] });
 * const { out } = attention(query, key, value, options);
 * ```
 */
export function jax(call: Spelled<JaxCall> = {}): JaxOptions {
  const read = readCall(call, NAMES, CALLER);
  if (read.implementation !== undefined) {
    proveWord(read.implementation, ["xla", "cudnn"], CALLER, "implementation");
  }
  const scale = readNumber(read.scale, CALLER, "scale");
  const causal = readBoolean(read.isCausal, CALLER, "isCausal");
  const window = readWindow(read.localWindowSize);
  const returnLse = readBoolean(read.returnResidual, CALLER, "returnResidual");
  return {
    layout: "bshd",
    ...(scale === undefined ? {} : { scale }),
    ...readOperand(read.bias, "bias"),
    ...(read.mask instanceof BitMask ? { mask: read.mask } : readOperand(read.mask, "mask")),
    ...(causal ? { causal } : {}),
    ...(window === undefined ? {} : { window }),
    ...(causal || window !== undefined ? { qOffset: "top-left" as const } : {}),
    ...readLengths(read.querySeqLengths, "querySeqLengths", "qLengths"),
    ...readLengths(read.keyValueSeqLengths, "keyValueSeqLengths", "kvLengths"),
    ...(returnLse ? { returnLse } : {}),
  };
}

function readOperand(value: unknown, role: "mask" | "bias"): { [role in "mask" | "bias"]?: TensorLike | Tensor } {
  const source = readOptional(value, CALLER, role);
  if (source === undefined) return {};
  if (asMaskOrBias(source, CALLER) === role) return { [role]: source.given };
  const advice = role === "mask" ? "a boolean tensor (give what is added as bias)" : "a float tensor";
  throw dtypeError(CALLER, `${role} is ${source.dtype}; expected ${advice}`);
}

function readWindow(value: unknown): WindowOption | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "number") return readWindow([value, value]);
  if (!Array.isArray(value) || value.length !== 2) {
    throw wrongKind(CALLER, "localWindowSize", value, "a number or [left, right]");
  }
  const [left, right] = value.map((size, side) =>
    readInteger(size, 0, 2 ** 31 - 1, CALLER, `localWindowSize[${side}]`),
  ) as [number, number];
  return { left, right };
}

function readLengths<Name extends string>(
  value: unknown,
  name: string,
  option: Name,
): { readonly [name in Name]?: ArrayLike<number> } {
  if (value === undefined) return {};
  countOf(value, CALLER, name);
  return { [option]: value } as { readonly [name in Name]: ArrayLike<number> };
}
