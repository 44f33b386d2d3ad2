import { attention, BitMask, type Engine, Tensor } from "saccade";
import { margins } from "../tests/reference/bound.mjs";
import type { Case } from "./case.ts";
import { documentOf, isKept } from "./cases.ts";

const SAMPLED_ROWS = 24;

/** One case on one engine: tensors that lie in its memory, the call that is timed, and the check before that. */
export interface Subject {
  readonly of: Case;
  readonly call: () => void;
  /** The largest error on sampled rows as a share of what float32 rounding explains. */
  readonly margin: () => number;
}

/** Numbers that look like activations: about normal, the same in every run. */
export function painted(length: number, seed: number): Float32Array<ArrayBuffer> {
  let state = seed >>> 0;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return Float32Array.from({ length }, () => (next() + next() + next() + next() - 2) * 1.7);
}

export function createSubject(c: Case, engine: Engine): Subject {
  const shapeOf = (seq: number, heads: number, dim: number) =>
    c.layout === "bshd" ? [c.batch, seq, heads, dim] : [c.batch, heads, seq, dim];
  const tensor = (shape: number[], seed: number) => ({
    data: painted(
      shape.reduce((a, b) => a * b, 1),
      seed,
    ),
    shape,
  });
  const query = tensor(shapeOf(c.qLen, c.numHeads, c.headDim), 1);
  const key = tensor(shapeOf(c.kvLen, c.numKvHeads, c.headDim), 2);
  const value = tensor(shapeOf(c.kvLen, c.numKvHeads, c.valueHeadDim), 3);
  const resident = [query, key, value].map((plain) => Tensor.from(plain, { engine })) as [Tensor, Tensor, Tensor];
  const out = Tensor.zeros(shapeOf(c.qLen, c.numHeads, c.valueHeadDim), "float32", { engine });
  const options = {
    engine,
    layout: c.layout,
    causal: c.causal,
    qOffset: c.kvLen - c.qLen,
    out,
    ...extrasOf(c, engine),
  };
  const call = () => {
    attention(...resident, options);
  };
  return { of: c, call, margin: () => sampledMargin(c, { query, key, value }, call, out) };
}

/** Slopes that fall from 1/2 on, a power of two each. */
const slopesOf = (c: Case) => Array.from({ length: c.numHeads }, (_, head) => 2 ** -(1 + head));
const biasOf = (c: Case) => painted(c.numHeads * c.qLen * c.kvLen, 4);

/** Masks and biases are resident, as the operands are. */
function extrasOf(c: Case, engine: Engine) {
  const { kvLengths, window, softcap } = c;
  const documents = (length: number) => Array.from({ length }, (_, i) => documentOf(c, i));
  const kept = () =>
    Uint8Array.from({ length: c.qLen * c.kvLen }, (_, n) => Number(isKept(c, Math.floor(n / c.kvLen), n % c.kvLen)));
  return {
    ...(kvLengths && { kvLengths }),
    ...(window && { window }),
    ...(softcap === undefined ? {} : { softcap }),
    ...(c.documents && { mask: BitMask.document({ query: documents(c.qLen), key: documents(c.kvLen) }) }),
    ...(c.randomMask && {
      mask: Tensor.from({ data: kept(), shape: [c.qLen, c.kvLen], dtype: "bool" }, { engine }),
    }),
    ...(c.bias && { bias: Tensor.from({ data: biasOf(c), shape: [c.numHeads, c.qLen, c.kvLen] }, { engine }) }),
    ...(c.alibi && { alibiSlopes: slopesOf(c) }),
  };
}

/** The same for one query row of one head, as the reference takes it. */
function rowExtrasOf(c: Case, bias: Float32Array | undefined, head: number, i: number) {
  const { window, softcap } = c;
  const visible = Array.from({ length: c.kvLen }, (_, j) =>
    Number(isKept(c, i, j) && documentOf(c, i) === documentOf(c, j)),
  );
  const from = (head * c.qLen + i) * c.kvLen;
  return {
    ...(window && { window }),
    ...(softcap === undefined ? {} : { softcap }),
    ...(c.documents || c.randomMask ? { mask: { data: visible, shape: [c.kvLen] } } : {}),
    ...(bias && { bias: { data: bias.subarray(from, from + c.kvLen), shape: [c.kvLen] } }),
    ...(c.alibi && { alibiSlopes: [slopesOf(c)[head]!] }),
  };
}

type Plain = { readonly data: Float32Array<ArrayBuffer> };

/** Rows spread over batch, heads and positions, each compared with float64 by itself. */
export function sampledMargin(
  c: Case,
  { query, key, value }: Readonly<Record<"query" | "key" | "value", Plain>>,
  call: () => void,
  out: Tensor,
): number {
  call();
  const result = out.toPlain().data;
  const rows = c.batch * c.numHeads * c.qLen;
  const bias = c.bias && biasOf(c);
  const step = Math.max(1, Math.floor(rows / SAMPLED_ROWS)) | 1;
  let largest = 0;
  for (let row = 0; row < rows; row += step) {
    const i = row % c.qLen;
    const head = Math.floor(row / c.qLen) % c.numHeads;
    const b = Math.floor(row / c.qLen / c.numHeads);
    const kvHead = Math.floor(head / (c.numHeads / c.numKvHeads));
    const qRow = vectors(query.data, c, b, head, c.qLen, c.numHeads, c.headDim, i, 1);
    const inputs = {
      query: qRow,
      key: vectors(key.data, c, b, kvHead, c.kvLen, c.numKvHeads, c.headDim),
      value: vectors(value.data, c, b, kvHead, c.kvLen, c.numKvHeads, c.valueHeadDim),
    };
    const shape = { ...c, batch: 1, qLen: 1, numHeads: 1, numKvHeads: 1 };
    const options = {
      causal: c.causal,
      qOffset: i + c.kvLen - c.qLen,
      kvLengths: [c.kvLengths?.[b] ?? c.kvLen],
      ...rowExtrasOf(c, bias, head, i),
    };
    const got = { out: vectors(result as Float32Array, c, b, head, c.qLen, c.numHeads, c.valueHeadDim, i, 1) };
    largest = Math.max(largest, margins(got, inputs, shape, options).out);
  }
  return largest;
}

/** Some vectors of one head, one after the other. */
function vectors(
  data: Float32Array,
  { layout }: Case,
  batch: number,
  head: number,
  seq: number,
  heads: number,
  dim: number,
  first = 0,
  count = seq,
): Float32Array {
  const start = batch * seq * heads * dim;
  if (layout === "bhsd") {
    const from = start + (head * seq + first) * dim;
    return data.subarray(from, from + count * dim);
  }
  const picked = new Float32Array(count * dim);
  for (let i = 0; i < count; i++) {
    const from = start + ((first + i) * heads + head) * dim;
    picked.set(data.subarray(from, from + dim), i * dim);
  }
  return picked;
}
