/** Recorded cases of textbook attention, and tensors painted for properties. */
import type { Plain } from "../compat/arrays.ts";
import { readTensors } from "../compat/files.ts";

type Param =
  | ("length" | "dim" | "base" | "rotaryDim" | "heads")
  | ("queryLength" | "keyLength" | "queryOffset" | "maxDistance");
type Input = "x" | "positions" | "query" | "key" | "value";
type Weight = "embedding" | "relative_key" | "relative_value" | "r" | "u" | "v_bias";
type Expectation = "encoding" | "output" | "weights" | "slopes" | "bias";

/** A recorded case; which names it has depends on the case. */
export interface ClassicCase {
  params: Record<Param, number>;
  inputs: Record<Input, Plain>;
  weights: Record<Weight, Plain>;
  expected: Record<Expectation, Plain>;
}

export const classic = (name: string): ClassicCase => readTensors(`classic/${name}.json`);

/** A tensor of numbers in [-1, 1] that differ by seed. */
export function painted(seed: number, ...shape: number[]): { data: Float32Array<ArrayBuffer>; shape: number[] } {
  const count = shape.reduce((product, size) => product * size, 1);
  return { data: Float32Array.from({ length: count }, (_, i) => Math.sin(seed * 31.7 + i * 1.37)), shape };
}

/** The largest distance of two lists of numbers; Infinity where their lengths differ or one is NaN. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  const distances = Array.from(a, (x, i) => (x === b[i] ? 0 : Math.abs(x - b[i]!)));
  return distances.some(Number.isNaN) ? Number.POSITIVE_INFINITY : Math.max(0, ...distances);
}
