/** The stored form of a vector, and how it is read. */
import { f32FromHex, f64FromHex, type Paint, paint, paintMask, type Rule } from "./paint.ts";

export interface Shape {
  batch: number;
  qLen: number;
  kvLen: number;
  numHeads: number;
  numKvHeads: number;
  headDim: number;
  valueHeadDim: number;
}

/** Options under their public names; numbers that are not integers are hex bits. */
export interface VectorOptions {
  scale?: string;
  softcap?: string;
  causal?: true;
  qOffset?: number;
  window?: { left?: number; right?: number; first?: number };
  kvLengths?: number[];
  qLengths?: number[];
  mask?: { shape: number[]; keep: number; seed: number };
  bias?: { shape: number[]; rule: Rule; seed: number; gain: string };
  alibiSlopes?: string[];
  sinks?: string[];
}

export interface Digest {
  sha256: string;
  /** Up to eight values from either end, so that a failure shows numbers. */
  first: string[];
  last: string[];
}

export interface VectorCase {
  id: string;
  flags: string[];
  shape: Shape;
  paint: { query: Paint; key: Paint; value: Paint };
  options: VectorOptions;
  out: Digest;
  lse: Digest;
}

export interface VectorFile {
  schema: 1;
  profile: "saccade-attn-f32-v1";
  level: "L2";
  notes: Record<string, string>;
  cases: VectorCase[];
}

export interface PaintedTensor {
  data: Float32Array<ArrayBuffer>;
  shape: [number, number, number, number];
}

/** Query, key and value of a case in `[batch, heads, length, dim]`, the order in which they are painted. */
export function paintInputs(shape: Shape, spec: VectorCase["paint"]): Record<"query" | "key" | "value", PaintedTensor> {
  const { batch, qLen, kvLen, numHeads, numKvHeads, headDim, valueHeadDim } = shape;
  const tensor = (rule: Paint, ...dims: PaintedTensor["shape"]): PaintedTensor => ({
    data: paint(
      rule,
      dims.reduce((a, b) => a * b, 1),
    ),
    shape: dims,
  });
  return {
    query: tensor(spec.query, batch, numHeads, qLen, headDim),
    key: tensor(spec.key, batch, numKvHeads, kvLen, headDim),
    value: tensor(spec.value, batch, numKvHeads, kvLen, valueHeadDim),
  };
}

/** The same options as numbers and arrays, as `attention` and the references take them. */
export function decodeOptions<Q>(options: Omit<VectorOptions, "qOffset"> & { qOffset?: Q }): DecodedOptions<Q> {
  const size = (shape: number[]) => shape.reduce((a, b) => a * b, 1);
  const { scale, softcap, mask, bias, alibiSlopes, sinks, ...same } = options;
  return {
    ...same,
    ...(scale === undefined ? {} : { scale: f64FromHex(scale) }),
    ...(softcap === undefined ? {} : { softcap: f64FromHex(softcap) }),
    ...(mask && { mask: { data: paintMask(mask, size(mask.shape)), shape: mask.shape } }),
    ...(bias && { bias: { data: paint(bias, size(bias.shape)), shape: bias.shape } }),
    ...(alibiSlopes && { alibiSlopes: alibiSlopes.map(f32FromHex) }),
    ...(sinks && { sinks: sinks.map(f32FromHex) }),
  };
}

export interface DecodedOptions<Q = number> {
  scale?: number;
  softcap?: number;
  causal?: true;
  qOffset?: Q;
  window?: { left?: number; right?: number; first?: number };
  kvLengths?: number[];
  qLengths?: number[];
  mask?: { data: Uint8Array<ArrayBuffer>; shape: number[] };
  bias?: { data: Float32Array<ArrayBuffer>; shape: number[] };
  alibiSlopes?: number[];
  sinks?: number[];
}
