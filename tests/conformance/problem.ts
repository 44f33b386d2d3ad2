/** A problem in plain numbers, as the references take it, and as arguments of the library. */
import { decode, encode, rounded } from "../reference/half.mjs";
import type { Rule } from "../reference/rules.mjs";
import type { PaintedTensor, Shape } from "../vectors/schema.ts";

/** How floats are stored; the numbers of a problem are already those that remain after storing. */
export type Storage = "float32" | "float16" | "bfloat16";
export const storages = ["float32", "float16", "bfloat16"] as const;

export interface Broadcast<T> {
  data: T;
  shape: number[];
}

export interface ProblemOptions {
  scale?: number;
  softcap?: number;
  causal?: boolean;
  qOffset?: number | ArrayLike<number>;
  window?: { left?: number; right?: number; first?: number };
  kvLengths?: ArrayLike<number>;
  qLengths?: ArrayLike<number>;
  mask?: Broadcast<Uint8Array<ArrayBuffer>>;
  /** A mask as a rule; not beside `mask`. */
  rule?: Rule;
  bias?: Broadcast<Float32Array<ArrayBuffer>>;
  alibiSlopes?: ArrayLike<number>;
  sinks?: ArrayLike<number>;
}

export interface Problem {
  shape: Shape;
  query: PaintedTensor;
  key: PaintedTensor;
  value: PaintedTensor;
  options: ProblemOptions;
  /** float32 where nothing is said. */
  storage?: { [name in "query" | "key" | "value" | "bias"]?: Storage };
}

/** The arrays alone, as the references take them. */
export const inputsOf = ({ query, key, value }: Problem) => ({ query: query.data, key: key.data, value: value.data });

/** Rounds what is not stored as float32, so that references and library see the same numbers. */
export function stored(problem: Problem): Problem {
  const { storage = {}, options } = problem;
  const keep = (tensor: PaintedTensor, as: Storage = "float32") => ({ ...tensor, data: rounded(tensor.data, as) });
  return {
    ...problem,
    query: keep(problem.query, storage.query),
    key: keep(problem.key, storage.key),
    value: keep(problem.value, storage.value),
    options: {
      ...options,
      ...(options.bias && {
        bias: { ...options.bias, data: rounded(options.bias.data, storage.bias ?? "float32") },
      }),
    },
  };
}

/** An array in the form in which it is stored, with the dtype that its own class does not say. */
export function inStorage(data: Float32Array<ArrayBuffer>, storage: Storage = "float32") {
  if (storage === "float32") return { data };
  return { data: encode(data, storage), dtype: storage };
}

/** Some result's numbers, whatever array holds them; a NaN of other bits than the canonical ones is refused. */
export function numbersOf(data: ArrayBufferView, dtype: string, what: string): Float32Array<ArrayBuffer> {
  const bytes = data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) as ArrayBuffer;
  const [bits, numbers, canonical] =
    dtype === "float32"
      ? [new Uint32Array(bytes), new Float32Array(bytes), 0x7fc00000]
      : [
          new Uint16Array(bytes),
          decode(new Uint16Array(bytes), dtype as "float16" | "bfloat16"),
          dtype === "float16" ? 0x7e00 : 0x7fc0,
        ];
  const odd = numbers.findIndex((x, i) => Number.isNaN(x) && bits[i] !== canonical);
  if (odd >= 0) throw new Error(`${what}[${odd}] is the NaN ${bits[odd]!.toString(16)}`);
  return numbers;
}
