/** Operands in the layouts that other libraries take. */
import type { Numbers } from "../peers/task.ts";

/** Moves axes: the result's axis i is axis `order[i]` of a tensor of four. */
export function permuted({ data, shape }: Numbers, order: readonly [number, number, number, number]): Numbers {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const lengths = order.map((axis) => shape[axis]!);
  const [s0, s1, s2, s3] = order.map((axis) => strides[axis]!) as [number, number, number, number];
  const [n0, n1, n2, n3] = lengths as [number, number, number, number];
  const out = new Float32Array(data.length);
  let at = 0;
  for (let a = 0; a < n0; a++) {
    for (let b = 0; b < n1; b++) {
      for (let c = 0; c < n2; c++) {
        for (let d = 0; d < n3; d++) out[at++] = data[a * s0 + b * s1 + c * s2 + d * s3]!;
      }
    }
  }
  return { data: out, shape: lengths };
}

type Layout = "bshd" | "bhsd";

/** From one layout to the other: both swap the same two axes. */
export const arranged = (numbers: Numbers, from: Layout, to: Layout): Numbers =>
  from === to ? numbers : permuted(numbers, [0, 2, 1, 3]);

/** Keys `[batch, heads, seq, dim]` as the right operand of a product: `[batch, heads, dim, seq]`. */
export const transposed = (numbers: Numbers): Numbers => permuted(numbers, [0, 1, 3, 2]);

/** Some rows of a sequence: axis 2 of `bhsd`. */
export function rowsOf({ data, shape }: Numbers, from: number, to: number): Numbers {
  const [batch, heads, seq, dim] = shape as [number, number, number, number];
  const out = new Float32Array(batch * heads * (to - from) * dim);
  for (let head = 0; head < batch * heads; head++) {
    out.set(data.subarray((head * seq + from) * dim, (head * seq + to) * dim), head * (to - from) * dim);
  }
  return { data: out, shape: [batch, heads, to - from, dim] };
}

export const reshaped = ({ data }: Numbers, shape: readonly number[]): Numbers => ({ data, shape });

/** A tensor of four as matrices, one for every batch row and head. */
export function matricesOf({ data, shape }: Numbers): Numbers[] {
  const [batch, heads, rows, columns] = shape as [number, number, number, number];
  const size = rows * columns;
  return Array.from({ length: batch * heads }, (_, i) => ({
    data: data.subarray(i * size, (i + 1) * size),
    shape: [rows, columns],
  }));
}

/** Matrices one after the other. */
export function joined(matrices: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  const out = new Float32Array(matrices.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const matrix of matrices) {
    out.set(matrix, at);
    at += matrix.length;
  }
  return out;
}
