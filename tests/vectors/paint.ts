/**
 * Inputs painted by rule: 32-bit integer arithmetic, exact in float32, the same in any language.
 * Element `i` is the row-major index in the tensor's own shape.
 */

export type Rule = "bell" | "i8q5" | "poison";

/** A painted tensor: the rule, its seed, and a gain (0 or a power of two, float32 bits in hex) applied last. */
export interface Paint {
  rule: Rule;
  seed: number;
  gain?: string;
}

/** The finaliser of MurmurHash3 on a 32-bit word. */
export function mix(x: number): number {
  x ^= x >>> 16;
  x = Math.imul(x, 0x85ebca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2ae35);
  x ^= x >>> 16;
  return x >>> 0;
}

export function word(seed: number, n: number): number {
  return mix((Math.imul(seed, 0x9e3779b9) + n) | 0);
}

function bell(seed: number, i: number): number {
  const a = word(seed, 2 * i);
  const b = word(seed, 2 * i + 1);
  return (((a << 16) >> 16) + (a >> 16) + ((b << 16) >> 16) + (b >> 16)) * 2 ** -15;
}

function poison(seed: number, i: number): number {
  const w = word(seed ^ 0x5a5a5a5a, 2 * i);
  if ((w & 255) >= 4) return bell(seed, i);
  const kind = (w >>> 8) & 3;
  if (kind === 1) return Number.POSITIVE_INFINITY;
  return kind === 2 ? Number.NEGATIVE_INFINITY : Number.NaN;
}

const rules: Record<Rule, (seed: number, i: number) => number> = {
  bell,
  i8q5: (seed, i) => ((word(seed, 2 * i) << 24) >> 24) * 2 ** -5,
  poison,
};

export function paint(spec: Paint, length: number): Float32Array<ArrayBuffer> {
  const rule = rules[spec.rule];
  const gain = f32FromHex(spec.gain ?? "3f800000");
  const data = new Float32Array(length);
  // Storing into a Float32Array is the one rounding of the product.
  for (let i = 0; i < length; i++) data[i] = rule(spec.seed, i) * gain;
  return data;
}

/** 1 where the key may be attended: the low byte of the element's word is below `keep` (0 to 256). */
export function paintMask(spec: { keep: number; seed: number }, length: number): Uint8Array<ArrayBuffer> {
  const data = new Uint8Array(length);
  for (let i = 0; i < length; i++) data[i] = (word(spec.seed, 2 * i) & 255) < spec.keep ? 1 : 0;
  return data;
}

const scratch = new DataView(new ArrayBuffer(8));

export function f32FromHex(hex: string): number {
  scratch.setUint32(0, Number.parseInt(hex, 16));
  return scratch.getFloat32(0);
}

export function f32ToHex(x: number): string {
  if (Number.isNaN(x)) return "7fc00000";
  scratch.setFloat32(0, x);
  return scratch.getUint32(0).toString(16).padStart(8, "0");
}

export function f64FromHex(hex: string): number {
  scratch.setUint32(0, Number.parseInt(hex.slice(0, 8), 16));
  scratch.setUint32(4, Number.parseInt(hex.slice(8), 16));
  return scratch.getFloat64(0);
}

export function f64ToHex(x: number): string {
  scratch.setFloat64(0, x);
  return [0, 4].map((at) => scratch.getUint32(at).toString(16).padStart(8, "0")).join("");
}
