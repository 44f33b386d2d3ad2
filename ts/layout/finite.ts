/**
 * Proving that weights are finite: one NaN among them would make every result NaN.
 */

import type { FloatDType } from "../dtype.ts";
import { rangeError } from "../errors.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import { rawMemory } from "../wasm/place.ts";
import { afterwards } from "../wasm/recording.ts";
import { contiguousStrides, copyElements, type RawArray } from "../wasm/view.ts";
import type { FloatView } from "./operands.ts";

/** Bits of the exponent: all set in NaN and the infinities. */
const EXPONENT: Readonly<Record<FloatDType, number>> = { float32: 0x7f800000, float16: 0x7c00, bfloat16: 0x7f80 };

/** The lowest bit of the exponent: added to one whose bits are all set it carries into the sign. */
const CARRY: Readonly<Record<FloatDType, number>> = { float32: 0x00800000, float16: 0x0400, bfloat16: 0x0080 };

/** Refuses NaN and infinities among the bits of floats, `count` of them from `from`. */
export function proveFiniteBits(
  bits: RawArray,
  from: number,
  count: number,
  dtype: FloatDType,
  caller: string,
  name: string,
): void {
  const [exponent, carry] = [EXPONENT[dtype], CARRY[dtype]];
  const sign = exponent + carry;
  // Without a branch in the loop: almost always there is nothing to find.
  let found = 0;
  for (let i = from; i < from + count; i++) found |= (bits[i]! & exponent) + carry;
  if ((found & sign) === 0) return;
  let at = from;
  while ((bits[at]! & exponent) !== exponent) at++;
  throw rangeError(caller, `${name}.data has NaN or Infinity at element ${at - from}; expected finite numbers`);
}

/** Proves that the elements of a proved view are finite: those of a Tensor in its turn, as an earlier call leaves them. */
export function proveFinite(view: FloatView, instance: WasmInstance, caller: string, name: string): void {
  if (view.outside === undefined) afterwards(instance, () => proveFiniteNow(view, instance, caller, name));
  else proveFiniteNow(view, instance, caller, name);
}

function proveFiniteNow(view: FloatView, instance: WasmInstance, caller: string, name: string): void {
  const { shape, strides, elements, dtype, outside, address, contiguous } = view;
  if (elements === 0) return;
  const bits = outside ?? rawMemory(dtype, instance.memory(caller).views());
  const from = outside === undefined ? address / (dtype === "float32" ? 4 : 2) : 0;
  if (contiguous) {
    proveFiniteBits(bits, from, elements, dtype, caller, name);
    return;
  }
  const copy = dtype === "float32" ? new Int32Array(elements) : new Uint16Array(elements);
  copyElements(shape, bits, from, strides, copy, 0, contiguousStrides(shape, elements));
  proveFiniteBits(copy, 0, elements, dtype, caller, name);
}
