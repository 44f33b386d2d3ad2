/** The recorded cases of the textbooks' scores, and attention pooling as a definition in f64. */
import { readTensors } from "../compat/files.ts";

export interface Numbers {
  data: Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer>;
  shape: number[];
}

export interface ClassicCase {
  params: Record<string, number | string>;
  inputs: Record<string, Numbers>;
  weights: Record<string, Numbers>;
  expected: Partial<Record<"output" | "weights" | "scores" | "prediction", Numbers>>;
}

export const readClassic = (name: string): ClassicCase => readTensors(`classic/${name}.json`);

/** A score as textbooks define it. */
export type Definition = (query: number[], key: number[], j: number) => number;

/** Weights and result of one row, in f64, from its scores: softmax, with -Infinity for hidden keys. */
export function softmaxOf(scores: readonly number[]): number[] {
  const most = Math.max(...scores);
  if (most === Number.NEGATIVE_INFINITY) return scores.map(() => 0);
  const powers = scores.map((score) => Math.exp(score - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** Rows of `[n, width]`. */
export function rowsOf({ data, shape }: Numbers): number[][] {
  const width = shape.at(-1)!;
  return Array.from({ length: data.length / width }, (_, i) => [...data.subarray(i * width, (i + 1) * width)]);
}

/** Numbers between -gain and gain, the same for the same seed. */
export function painted(seed: number, gain: number, ...shape: number[]): Numbers & { data: Float32Array<ArrayBuffer> } {
  let state = (seed * 2654435761) >>> 0;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  const length = shape.reduce((a, b) => a * b, 1);
  return { data: Float32Array.from({ length }, () => next() * gain), shape };
}
