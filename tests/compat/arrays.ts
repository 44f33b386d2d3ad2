/** Stored arrays of every type, as `attention` takes them and as numbers. */
import type { DType, TensorLike } from "saccade";
import { fromFloat16 } from "../reference/half.mjs";

export interface StoredArray {
  dtype: string;
  shape: number[];
  data: string;
}

type Integers = BigInt64Array<ArrayBuffer>;

const bytesOf = (stored: StoredArray) => Uint8Array.from(atob(stored.data), (letter) => letter.charCodeAt(0)).buffer;

function viewOf(dtype: string, buffer: ArrayBuffer): TensorLike["data"] {
  switch (dtype) {
    case "float32":
      return new Float32Array(buffer);
    case "float16":
    case "bfloat16":
      return new Uint16Array(buffer);
    case "int32":
      return new Int32Array(buffer);
    case "bool":
      return new Uint8Array(buffer);
    default:
      throw new Error(`no array for ${dtype}`);
  }
}

export type Plain = TensorLike & { shape: number[]; dtype: DType };

export function tensorOf(stored: StoredArray): Plain {
  return { data: viewOf(stored.dtype, bytesOf(stored)), shape: stored.shape, dtype: stored.dtype as DType };
}

export function integersOf(stored: StoredArray): Integers | Int32Array<ArrayBuffer> {
  const bytes = bytesOf(stored);
  return stored.dtype === "int64" ? new BigInt64Array(bytes) : new Int32Array(bytes);
}

/** The elements as numbers. */
export function numbersOf({ data, dtype }: { data: TensorLike["data"]; dtype?: DType | undefined }): number[] {
  if (!(data instanceof Uint16Array)) return Array.from(data as ArrayLike<number>);
  if (dtype === "float16") return Array.from(data, fromFloat16);
  const words = Uint32Array.from(data, (bits) => bits << 16);
  return Array.from(new Float32Array(words.buffer));
}

/** The largest |actual - expected| / (absolute + relative * |expected|): at most 1 where all is within tolerance. */
export function margin(
  actual: readonly number[],
  expected: readonly number[],
  { absolute, relative }: { absolute: number; relative: number },
): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let largest = 0;
  expected.forEach((e, i) => {
    const a = actual[i]!;
    if (Object.is(a, e) || a === e) return;
    const ratio = Math.abs(a - e) / (absolute + relative * Math.abs(e));
    largest = Number.isNaN(ratio) ? Number.POSITIVE_INFINITY : Math.max(largest, ratio);
  });
  return largest;
}
