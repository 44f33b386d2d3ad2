/** One case of attention: its operands, our call, and the check against float64. */
import { attention, BitMask, type Engine, Tensor } from "saccade";
import { margins } from "../../tests/reference/bound.mjs";
import type { Placed, Prepared } from "../case.ts";
import type { Numbers } from "../peers/task.ts";
import { denseBias } from "./bias.ts";
import { createCache } from "./cache.ts";
import { type AttentionSpec, documentOf, isKept, positionOf, slopesOf } from "./spec.ts";

/** Rows that are held against float64: fewer where each is long. */
const sampledRows = ({ kvLen }: AttentionSpec): number => Math.max(8, Math.min(24, Math.ceil(32768 / kvLen)));

/** Numbers that look like activations: about normal, the same in every run. */
export function painted(length: number, seed: number): Float32Array<ArrayBuffer> {
  let state = seed >>> 0;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return Float32Array.from({ length }, () => (next() + next() + next() + next() - 2) * 1.7);
}

export type Operands = Readonly<Record<"query" | "key" | "value", Numbers>>;

export function prepareAttention(spec: AttentionSpec): Prepared {
  const c = spec;
  const { cache, ...exact } = c;
  const shapeOf = (seq: number, heads: number, dim: number) =>
    c.layout === "bshd" ? [c.batch, seq, heads, dim] : [c.batch, heads, seq, dim];
  const operand = (shape: number[], seed: number): Numbers => {
    const length = shape.reduce((a, b) => a * b, 1);
    return { data: painted(length, seed), shape };
  };
  const operands = {
    query: operand(shapeOf(c.qLen, c.numHeads, c.headDim), 1),
    key: operand(shapeOf(c.kvLen, c.numKvHeads, c.headDim), 2),
    value: operand(shapeOf(c.kvLen, c.numKvHeads, c.valueHeadDim), 3),
  };
  const out = shapeOf(c.qLen, c.numHeads, c.valueHeadDim);
  return {
    on: (engine) => (cache ? createCache(c, operands, out, engine) : place(c, operands, out, engine)),
    // The operands as they are: a cache, which rounds them, has a check of its own.
    margin: (got) => sampledMargin(exact, operands, got),
    task: { kind: "attention", spec, ...operands, bias: () => denseBias(c, c.bias && biasOf(c)) },
  };
}

/** Operands, masks and the result are resident. */
function place(c: AttentionSpec, { query, key, value }: Operands, shape: readonly number[], engine: Engine): Placed {
  const from = (numbers: Numbers) => Tensor.from(numbers, { engine });
  const resident = [from(query), from(key), from(value)] as const;
  const out = Tensor.zeros([...shape], "float32", { engine });
  const extras = extrasOf(c, engine);
  const options = { engine, layout: c.layout, causal: c.causal, qOffset: c.kvLen - c.qLen, out, ...extras };
  return {
    call: () => attention(...resident, options),
    result: () => out.toPlain().data,
    dispose() {
      for (const tensor of [...resident, out]) tensor.dispose();
      for (const extra of Object.values(extras)) if (extra instanceof Tensor) extra.dispose();
    },
  };
}

const biasOf = (c: AttentionSpec) => painted(c.numHeads * c.qLen * c.kvLen, 4);

function extrasOf(c: AttentionSpec, engine: Engine) {
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
function rowExtrasOf(c: AttentionSpec, bias: Float32Array | undefined, head: number, i: number) {
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

/** Rows spread over batch, heads and positions, each compared with float64 by itself. */
export function sampledMargin(c: AttentionSpec, { query, key, value }: Operands, got: ArrayLike<number>): number {
  const rows = c.batch * c.numHeads * c.qLen;
  if (got.length !== rows * c.valueHeadDim) return Number.NaN;
  const result = got instanceof Float32Array ? got : Float32Array.from(got);
  const bias = c.bias && biasOf(c);
  const step = Math.max(1, Math.floor(rows / sampledRows(c))) | 1;
  let largest = 0;
  for (let row = 0; row < rows; row += step) {
    const i = row % c.qLen;
    const head = Math.floor(row / c.qLen) % c.numHeads;
    const b = Math.floor(row / c.qLen / c.numHeads);
    const kvHead = Math.floor(head / (c.numHeads / c.numKvHeads));
    const inputs = {
      query: vectors(query.data, c, b, head, c.qLen, c.numHeads, c.headDim, i, 1),
      key: vectors(key.data, c, b, kvHead, c.kvLen, c.numKvHeads, c.headDim),
      value: vectors(value.data, c, b, kvHead, c.kvLen, c.numKvHeads, c.valueHeadDim),
    };
    const shape = { ...c, batch: 1, qLen: 1, numHeads: 1, numKvHeads: 1 };
    const options = {
      causal: c.causal,
      qOffset: positionOf(c, i),
      kvLengths: [c.kvLengths?.[b] ?? c.kvLen],
      ...rowExtrasOf(c, bias, head, i),
      int8: c.cache === "int8",
    };
    const out = vectors(result, c, b, head, c.qLen, c.numHeads, c.valueHeadDim, i, 1);
    largest = Math.max(largest, margins({ out }, inputs, shape, options).out);
  }
  return largest;
}

/** Some vectors of one head, one after the other. */
function vectors(
  data: Float32Array,
  { layout }: AttentionSpec,
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
