/** Parts and rearrangements of a problem, with all of its options. */
import type { Outcome } from "../conformance/arrange.ts";
import type { Broadcast, Problem, ProblemOptions } from "../conformance/problem.ts";
import { isVisible } from "../reference/attention.mjs";
import { elementAt, type Rule } from "../reference/rules.mjs";
import type { PaintedTensor } from "../vectors/schema.ts";

type Dims = PaintedTensor["shape"];
type Numbers = Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;

const product = (sizes: readonly number[]) => sizes.reduce((a, b) => a * b, 1);

/** The given indices along one axis, in the given order. */
function take<T extends Numbers>(data: T, shape: readonly number[], axis: number, indices: readonly number[]): T {
  const inner = product(shape.slice(axis + 1));
  const outer = product(shape.slice(0, axis));
  const result = new (data.constructor as new (length: number) => T)(outer * indices.length * inner);
  for (let o = 0; o < outer; o++) {
    indices.forEach((index, n) => {
      const from = (o * shape[axis]! + index) * inner;
      result.set(data.subarray(from, from + inner), (o * indices.length + n) * inner);
    });
  }
  return result;
}

export const range = (from: number, to: number) => Array.from({ length: Math.max(0, to - from) }, (_, n) => from + n);

export function takeOf({ data, shape }: PaintedTensor, axis: 0 | 1 | 2, indices: readonly number[]): PaintedTensor {
  const dims: Dims = [...shape];
  dims[axis] = indices.length;
  return { data: take(data, shape, axis, indices), shape: dims };
}

/** Along an axis of `[batch, heads, qLen, kvLen]`, which the tensor may have broadcast or left out. */
function takeBroadcast<T extends Numbers>(
  tensor: Broadcast<T>,
  axis: number,
  of: number,
  indices: readonly number[],
): Broadcast<T> {
  const own = axis - (4 - tensor.shape.length);
  // A size of 1 that is the whole axis is taken as well: its result may have to be empty.
  if (own < 0 || (tensor.shape[own] === 1 && of !== 1)) return tensor;
  if (tensor.shape[own] === 1 && indices.length > 0) return tensor;
  const shape = [...tensor.shape];
  shape[own] = indices.length;
  return { data: take(tensor.data, tensor.shape, own, indices), shape };
}

const listFor = <T>(lists: T[], batch: readonly number[]) => (lists.length === 1 ? lists : batch.map((b) => lists[b]!));

const mapLeaves = (rule: Rule, leaf: (rule: Rule) => Rule): Rule => {
  if (rule.kind === "and" || rule.kind === "or") {
    return { kind: rule.kind, of: [mapLeaves(rule.of[0], leaf), mapLeaves(rule.of[1], leaf)] };
  }
  return rule.kind === "not" ? { kind: "not", of: [mapLeaves(rule.of[0], leaf)] } : leaf(rule);
};

type Axis = 0 | 1 | 2 | 3;

/** A rule for a part of the call: the given indices of an axis of `[batch, heads, qLen, kvLen]`. */
function partOfRule(whole: Rule, axis: Axis, of: number, indices: readonly number[]): Rule {
  const from = indices[0] ?? 0;
  const inside = (list: number[]) => list.filter((i) => indices.includes(i)).map((i) => indices.indexOf(i));
  return mapLeaves(whole, (rule) => {
    if (rule.kind === "stored") return { ...rule, ...takeBroadcast<Uint8Array<ArrayBuffer>>(rule, axis, of, indices) };
    if (axis === 0) {
      if (rule.kind === "prefixLm") return { ...rule, lengths: listFor(rule.lengths, indices) };
      if (rule.kind !== "document") return rule;
      return { ...rule, query: listFor(rule.query, indices), key: listFor(rule.key, indices) };
    }
    if (axis === 2) {
      if ("offset" in rule) return { ...rule, offset: rule.offset + from };
      if (rule.kind === "document") return { ...rule, query: rule.query.map((ids) => indices.map((i) => ids[i]!)) };
      if (rule.kind === "global") return { ...rule, query: inside(rule.query) };
    }
    if (axis === 3) {
      if (rule.kind === "prefixLm") return { ...rule, lengths: rule.lengths.map((n) => Math.min(n, indices.length)) };
      if (rule.kind === "document") return { ...rule, key: rule.key.map((ids) => indices.map((j) => ids[j]!)) };
      if (rule.kind === "global") return { ...rule, key: inside(rule.key) };
    }
    return rule;
  });
}

function partOfMasks({ mask, bias, rule }: ProblemOptions, axis: Axis, of: number, indices: readonly number[]) {
  return {
    ...(mask && { mask: takeBroadcast(mask, axis, of, indices) }),
    ...(bias && { bias: takeBroadcast(bias, axis, of, indices) }),
    ...(rule && { rule: partOfRule(rule, axis, of, indices) }),
  };
}

const pick = (list: ArrayLike<number>, indices: readonly number[]) => indices.map((n) => list[n]!);

export const offsetOf = ({ qOffset }: ProblemOptions, b: number): number =>
  typeof qOffset === "number" ? qOffset : (qOffset?.[b] ?? 0);

/** Query rows `from` to `to` as a problem of their own. */
export function rowsOf(problem: Problem, from: number, to: number): Problem {
  const { shape, options } = problem;
  const offsets = range(0, shape.batch).map((b) => offsetOf(options, b) + from);
  const { qLengths } = options;
  const lengths = qLengths && Array.from(qLengths, (n) => Math.min(Math.max(0, n - from), to - from));
  return {
    ...problem,
    shape: { ...shape, qLen: to - from },
    query: takeOf(problem.query, 2, range(from, to)),
    options: {
      ...options,
      ...partOfMasks(options, 2, shape.qLen, range(from, to)),
      qOffset: offsets,
      ...(lengths && { qLengths: lengths }),
    },
  };
}

/** Batch rows in any order, each as often as it is named. */
export function batchRowsOf(problem: Problem, rows: readonly number[]): Problem {
  const { shape, options } = problem;
  const { kvLengths, qLengths } = options;
  return {
    ...problem,
    shape: { ...shape, batch: rows.length },
    query: takeOf(problem.query, 0, rows),
    key: takeOf(problem.key, 0, rows),
    value: takeOf(problem.value, 0, rows),
    options: {
      ...options,
      ...partOfMasks(options, 0, shape.batch, rows),
      qOffset: rows.map((b) => offsetOf(options, b)),
      ...(kvLengths && { kvLengths: pick(kvLengths, rows) }),
      ...(qLengths && { qLengths: pick(qLengths, rows) }),
    },
  };
}

/** The first `count` keys; the rest must be hidden. */
export function firstKeysOf(problem: Problem, count: number): Problem {
  const { shape, options } = problem;
  const { kvLengths } = options;
  return {
    ...problem,
    shape: { ...shape, kvLen: count },
    key: takeOf(problem.key, 2, range(0, count)),
    value: takeOf(problem.value, 2, range(0, count)),
    options: {
      ...options,
      ...partOfMasks(options, 3, shape.kvLen, range(0, count)),
      ...(kvLengths && { kvLengths: Array.from(kvLengths, (n) => Math.min(n, count)) }),
    },
  };
}

/** Heads of key and value in another order, and their query heads with them. */
export function permutedHeadsOf(problem: Problem, heads: readonly number[], kvHeads: readonly number[]): Problem {
  const { shape, options } = problem;
  const { alibiSlopes, sinks } = options;
  return {
    ...problem,
    query: takeOf(problem.query, 1, heads),
    key: takeOf(problem.key, 1, kvHeads),
    value: takeOf(problem.value, 1, kvHeads),
    options: {
      ...options,
      ...partOfMasks(options, 1, shape.numHeads, heads),
      ...(alibiSlopes && { alibiSlopes: pick(alibiSlopes, heads) }),
      ...(sinks && { sinks: pick(sinks, heads) }),
    },
  };
}

/** The same indices of all that a call gave back. */
export function partOf({ out, lse }: Outcome, problem: Problem, axis: 0 | 1 | 2, indices: readonly number[]): Outcome {
  const { batch, numHeads, qLen, valueHeadDim } = problem.shape;
  const rows = [batch, numHeads, qLen];
  return {
    out: take(out as Float32Array<ArrayBuffer>, [...rows, valueHeadDim], axis, indices),
    lse: take(lse as Float32Array<ArrayBuffer>, rows, axis, indices),
  };
}

/** Without mask, rule and bias. */
export function withoutMasks(options: ProblemOptions): ProblemOptions {
  const { mask: _mask, rule: _rule, bias: _bias, ...rest } = options;
  return rest;
}

/** A function of batch row, head, query row and key as a full tensor. */
export function tabulate({ batch, numHeads, qLen, kvLen }: Problem["shape"], f: Cell): Broadcast<Float64Array> {
  const shape = [batch, numHeads, qLen, kvLen];
  const data = new Float64Array(product(shape));
  for (let n = 0; n < data.length; n++) {
    const j = n % kvLen;
    const i = Math.floor(n / kvLen) % qLen;
    const h = Math.floor(n / (kvLen * qLen)) % numHeads;
    data[n] = Number(f(Math.floor(n / (kvLen * qLen * numHeads)), h, i, j));
  }
  return { data, shape };
}

export type Cell = (b: number, h: number, i: number, j: number) => number | boolean;

export function maskFrom(shape: Problem["shape"], f: Cell): Broadcast<Uint8Array<ArrayBuffer>> {
  const table = tabulate(shape, f);
  return { ...table, data: Uint8Array.from(table.data) };
}

export function biasFrom(shape: Problem["shape"], f: Cell): Broadcast<Float32Array<ArrayBuffer>> {
  const table = tabulate(shape, f);
  return { ...table, data: Float32Array.from(table.data) };
}

/** What each row of a problem sees. */
export function visibilityOf({ shape, options }: Problem): Cell {
  return (b, h, i, j) => isVisible(shape, options, b, h, i, j);
}

/** The bias where there is one, else 0. */
export const biasAt = ({ options }: Problem): ((...index: [number, number, number, number]) => number) =>
  options.bias ? (...index) => elementAt(options.bias!, index) : () => 0;
