// @ts-check
// The half-width floats bit by bit: float16 is binary16, bfloat16 the upper half of binary32; rounding is to nearest,
// ties to even, and every NaN that is stored is the quiet one without payload.
import { fromBits, toBits } from "./functions.mjs";

/** @typedef {"float32" | "float16" | "bfloat16"} Storage */

/** @param {number} x a float32 */
export function float16Bits(x) {
  if (Number.isNaN(x)) return 0x7e00;
  const word = toBits(x);
  const sign = (word >>> 16) & 0x8000;
  const a = Math.abs(x);
  // Half a step above the largest value, 65504, rounding reaches Infinity.
  if (a >= 65520) return sign | 0x7c00;
  const exponent = Math.max(((word >>> 23) & 0xff) - 127, -14);
  const steps = a / 2 ** (exponent - 10);
  const floor = Math.floor(steps);
  const rest = steps - floor;
  const rounded = floor + (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? 1 : 0);
  // A mantissa that rounds up to the next power of two carries into the exponent by itself.
  return sign | (((exponent + 14) << 10) + rounded);
}

/** @param {number} bits */
export function fromFloat16(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1024 + mantissa) * 2 ** (exponent - 25));
}

/** @param {number} x a float32 */
export function bfloat16Bits(x) {
  if (Number.isNaN(x)) return 0x7fc0;
  const word = toBits(x);
  const lower = word & 0xffff;
  const upper = word >>> 16;
  return upper + (lower > 0x8000 || (lower === 0x8000 && upper % 2 === 1) ? 1 : 0);
}

/** @param {number} bits */
export const fromBfloat16 = (bits) => fromBits((bits << 16) >>> 0);

/** The elements as they are stored. @param {ArrayLike<number>} values @param {"float16" | "bfloat16"} storage */
export const encode = (values, storage) => Uint16Array.from(values, storage === "float16" ? float16Bits : bfloat16Bits);

/** @param {ArrayLike<number>} bits @param {"float16" | "bfloat16"} storage */
export const decode = (bits, storage) => Float32Array.from(bits, storage === "float16" ? fromFloat16 : fromBfloat16);

/** The values that remain after storing. @param {Float32Array<ArrayBuffer>} values @param {Storage} storage */
export const rounded = (values, storage) => (storage === "float32" ? values : decode(encode(values, storage), storage));
