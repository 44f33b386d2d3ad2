/** Recorded cases of PyTorch's layers. */
import type { TensorLike } from "saccade";
import { type Plain, type StoredArray, tensorOf } from "../compat/arrays.ts";
import { caseFiles, readCase } from "../compat/files.ts";

export interface ClassicCase {
  name: string;
  params: { numHeads?: number; bidirectional?: boolean; numLayers?: number };
  inputs: Record<string, StoredArray>;
  weights: Record<string, StoredArray>;
  expected: Record<string, StoredArray>;
}

export const classicFiles = (prefix: string): string[] => caseFiles("classic", prefix);

type Input =
  | "query"
  | "key"
  | "value"
  | "attn_mask"
  | "key_padding_mask"
  | "input"
  | "h0"
  | "encoder"
  | "hidden"
  | "embedding";
type Expected = "output" | "weights" | "weights_per_head" | "weights_averaged" | "hn" | "context" | "hidden";

export interface Tensors {
  inputs: { readonly [name in Input | "key_lengths"]?: Plain };
  weights: Record<string, Plain>;
  expected: { readonly [name in Expected]?: Plain };
}

export function classicCase(file: string): ClassicCase & { tensors: Tensors } {
  const read = readCase<ClassicCase>(`classic/${file}`);
  const all = (stored: Record<string, StoredArray>) =>
    Object.fromEntries(Object.entries(stored).map(([name, array]) => [name, tensorOf(array)]));
  return { ...read, tensors: { inputs: all(read.inputs), weights: all(read.weights), expected: all(read.expected) } };
}

/** Numbers of both signs, the same for a seed. */
export function painted(seed: number, ...shape: number[]): { data: Float32Array<ArrayBuffer>; shape: number[] } {
  const elements = shape.reduce((a, b) => a * b, 1);
  return {
    data: Float32Array.from({ length: elements }, (_, i) => Math.sin(i * 12.9898 + seed * 78.233) * 0.7),
    shape,
  };
}

/** A tensor as bfloat16, and the float32 numbers that it then holds. */
export function halved({ data, shape }: { data: Float32Array; shape: number[] }): {
  half: TensorLike;
  exact: TensorLike;
} {
  const bits = Uint16Array.from(new Uint32Array(data.slice().buffer), (word) => word >>> 16);
  const words = Uint32Array.from(bits, (word) => word << 16);
  return {
    half: { data: bits, shape, dtype: "bfloat16" },
    exact: { data: new Float32Array(words.buffer), shape },
  };
}
