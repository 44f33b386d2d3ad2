/** The cases recorded from PyTorch in float64, and calls of other systems that say the same. */
import { type StoredArray, tensorOf } from "./arrays.ts";
import { caseFiles, readCase } from "./files.ts";

type TensorName = "query" | "key" | "value" | "query_offset";
type OptionalName = "mask" | "bias" | "kv_lengths" | "alibi_slopes" | "sinks";

export interface SdpaCase {
  name: string;
  shape: Record<
    "batch" | "queryHeads" | "keyValueHeads" | "queryLength" | "keyLength" | "headDim" | "valueHeadDim",
    number
  >;
  options: {
    scale: number;
    scaleIsDefault: boolean;
    causal: boolean;
    windowLeft: number;
    windowRight: number;
    softcap: number;
  };
  tolerance: { output: number; lseRelative: number };
  tensors: Record<TensorName, StoredArray> & Partial<Record<OptionalName, StoredArray>>;
  expected: Record<"output" | "lse", StoredArray>;
}

export const sdpaCases = caseFiles("sdpa").map((file) => readCase<SdpaCase>(`sdpa/${file}`));

/** Elements as numbers; undefined where the case does not have it. */
export function listOf(stored: StoredArray | undefined): number[] | undefined {
  return stored && Array.from(tensorOf(stored).data as ArrayLike<number>);
}

/** Element of a broadcast array at `[b, h, i, j]`. */
export function at(stored: StoredArray, list: readonly number[], index: readonly number[]): number {
  const { shape } = stored;
  let position = 0;
  shape.forEach((size, axis) => {
    position = position * size + (size === 1 ? 0 : index[axis + 4 - shape.length]!);
  });
  return list[position]!;
}

/** Whether a rule of position is in play. */
export const hasPositions = ({ options, tensors }: SdpaCase) =>
  options.causal || options.windowLeft >= 0 || options.windowRight >= 0 || tensors.alibi_slopes !== undefined;

/**
 * What a PyTorch user writes where a rule has no argument of its own: one mask over all queries and keys, boolean where
 * nothing is added, else float with -Infinity. A sink is one more key, whose score is 0 and whose value is 0.
 */
export function foldedMask(one: SdpaCase): {
  data: Uint8Array | Float32Array;
  shape: number[];
  dtype: "bool" | "float32";
} {
  const { shape: s, options, tensors } = one;
  const offsets = listOf(tensors.query_offset)!;
  const lengths = listOf(tensors.kv_lengths);
  const mask = listOf(tensors.mask);
  const bias = listOf(tensors.bias);
  const slopes = listOf(tensors.alibi_slopes);
  const sinks = listOf(tensors.sinks);
  const keys = s.keyLength + (sinks ? 1 : 0);
  const shape = [s.batch, s.queryHeads, s.queryLength, keys];
  const added = bias !== undefined || slopes !== undefined || sinks !== undefined;
  const values: number[] = [];
  for (let b = 0; b < s.batch; b++) {
    for (let h = 0; h < s.queryHeads; h++) {
      for (let i = 0; i < s.queryLength; i++) {
        const position = i + offsets[b]!;
        for (let j = 0; j < keys; j++) {
          if (j === s.keyLength) {
            values.push(sinks![h]!);
            continue;
          }
          const allowed =
            (mask === undefined || at(tensors.mask!, mask, [b, h, i, j]) !== 0) &&
            (lengths === undefined || j < lengths[b]!) &&
            (!options.causal || j <= position) &&
            (options.windowLeft < 0 || j >= position - options.windowLeft) &&
            (options.windowRight < 0 || j <= position + options.windowRight);
          const score =
            (bias === undefined ? 0 : at(tensors.bias!, bias, [b, h, i, j])) -
            (slopes === undefined ? 0 : slopes[h]! * Math.abs(position - j));
          values.push(added ? (allowed ? score : Number.NEGATIVE_INFINITY) : Number(allowed));
        }
      }
    }
  }
  return added
    ? { data: Float32Array.from(values), shape, dtype: "float32" }
    : { data: Uint8Array.from(values), shape, dtype: "bool" };
}

/** A row of zeros behind each head's keys or values. */
export function withZeroRow({ data, shape }: { data: ArrayLike<number>; shape: number[] }) {
  const [batch, heads, length, dim] = shape as [number, number, number, number];
  const longer = new Float32Array(batch * heads * (length + 1) * dim);
  for (let head = 0; head < batch * heads; head++) {
    const rows = Array.from({ length: length * dim }, (_, i) => data[head * length * dim + i]!);
    longer.set(rows, head * (length + 1) * dim);
  }
  return { data: longer, shape: [batch, heads, length + 1, dim] };
}
