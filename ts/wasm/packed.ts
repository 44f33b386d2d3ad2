/**
 * Packed sequences with masks, lengths, weights or taps: each sequence is an ordinary call over slices of what the whole
 * call has proved. Results gather in new arrays or in scratch memory, and go to the caller's targets at the very end, so
 * that a call that runs out of memory halfway has written nothing.
 */

import { ELEMENT_BYTE_LENGTH, type TensorData } from "../dtype.ts";
import { rawArray } from "../layout/typed-array.ts";
import { type AttentionOutcome, runAttention } from "./attention.ts";
import type { AttentionCall, Destination, Modifiers, Sequences, TapCall, WeightsCall } from "./call.ts";
import type { WasmInstance } from "./instance.ts";
import { afterwards, recordingOf } from "./job.ts";
import type { LinearMemory } from "./memory.ts";
import { newData, rawMemory } from "./place.ts";
import { contiguousStrides, copyElements, sliceView, type TensorView } from "./view.ts";

/** The bits of a float32 -Infinity. */
const MINUS_INFINITY = 0xff800000 | 0;

/** Whether a packed call says more than the loop over one argument block can. */
export function hasPaddedParts({ kvLengths, weights, tap, modifiers }: AttentionCall): boolean {
  if (kvLengths !== undefined || weights !== undefined || tap !== undefined) return true;
  if (modifiers === undefined) return false;
  const { qLengths, mask, bias, programs } = modifiers;
  return qLengths !== undefined || mask !== undefined || bias !== undefined || programs !== undefined;
}

/** The corner of a mask or bias that a sequence sees; axes that are broadcast stay so. */
export function cornerOf(view: TensorView, sequence: number, qLen: number, kvLen: number): TensorView {
  const { shape } = view;
  const missing = 4 - shape.length;
  const from = shape.map((size, axis) => (axis + missing === 0 && size !== 1 ? sequence : 0));
  const own = shape.map((size, axis) => (size === 1 ? 1 : [1, size, qLen, kvLen][axis + missing]!));
  return sliceView(view, from, own);
}

/** A result of the whole call on its way: sequences write to `view`, and what is there goes `to` its place at the end. */
interface Gathered {
  readonly data: TensorData | undefined;
  readonly view: TensorView;
  readonly to: TensorView;
}

interface GatheredResults {
  readonly out: Gathered;
  readonly lse: Gathered | undefined;
  readonly weights: Gathered | undefined;
  readonly indices: Gathered | undefined;
  readonly scores: Gathered | undefined;
}

/** Chosen query rows in the order of the sequences, each with its slot in the result. */
type RowSlots = readonly { readonly row: number; readonly slot: number }[];

/** Runs a call that {@link hasPaddedParts}. Whatever happens, the scratch arena is as it was. */
export function runPadded(instance: WasmInstance, call: AttentionCall, sequences: Sequences): AttentionOutcome {
  const memory = instance.memory(call.caller);
  const { scratch } = memory;
  const isRecorded = recordingOf(instance) !== undefined;
  const mark = scratch.mark();
  try {
    return runGathered(instance, memory, call, sequences);
  } finally {
    if (!isRecorded) scratch.release(mark);
  }
}

function runGathered(
  instance: WasmInstance,
  memory: LinearMemory,
  call: AttentionCall,
  sequences: Sequences,
): AttentionOutcome {
  const { caller, weights, tap, lse, qLen: total } = call;
  const slots = weights?.kind === "rows" ? slotsOf(weights.rows) : [];
  const isMoved = slots.some(({ slot }, at) => slot !== at);
  const results: GatheredResults = {
    out: gather(call.out, memory, caller),
    lse: lse && gather(lse, memory, caller),
    weights: weights && gather(weights.values, memory, caller, 0, isMoved),
    indices: weights?.kind === "top-k" ? gather(weights.indices, memory, caller) : undefined,
    scores: tap && gather(tap.scores, memory, caller, tap.stage === "biased" ? MINUS_INFINITY : 0),
  };
  const outcome: AttentionOutcome = {
    out: results.out.data,
    lse: results.lse?.data,
    weights: results.weights?.data,
    indices: results.indices?.data,
    scores: results.scores?.data,
    emptyRow: -1,
  };
  for (let s = 0; s + 1 < sequences.query.length; s++) {
    const from = sequences.query[s]!;
    const length = sequences.query[s + 1]! - from;
    if (length === 0) continue;
    const part = runAttention(instance, callOf(call, sequences, s, results, slots));
    afterwards(instance, () => {
      const found = part.emptyRow;
      if (found < 0) return;
      const index = Math.floor(found / length) * total + from + (found % length);
      if (outcome.emptyRow < 0 || index < outcome.emptyRow) outcome.emptyRow = index;
    });
  }
  afterwards(instance, () => {
    deliver(results.out, memory);
    if (results.lse !== undefined) deliver(results.lse, memory);
    if (results.weights !== undefined) {
      if (isMoved) deliverRows(results.weights, slots, memory);
      else deliver(results.weights, memory);
    }
    if (results.indices !== undefined) deliver(results.indices, memory);
    if (results.scores !== undefined) deliver(results.scores, memory);
  });
  return outcome;
}

function slotsOf(rows: readonly number[]): RowSlots {
  return rows.map((row, slot) => ({ row, slot })).sort((a, b) => a.row - b.row);
}

/** The call of one sequence. */
function callOf(
  call: AttentionCall,
  sequences: Sequences,
  s: number,
  results: GatheredResults,
  slots: RowSlots,
): AttentionCall {
  const { seq } = call.axes;
  const { weights, tap, qOffset, kvLengths, modifiers } = call;
  const qFrom = sequences.query[s]!;
  const qLen = sequences.query[s + 1]! - qFrom;
  const kvFrom = sequences.key[s]!;
  const kvLen = sequences.key[s + 1]! - kvFrom;
  const perRow = (whole: Gathered, axis: number, width?: number): Destination =>
    partOf(whole.view, axis, qFrom, qLen, width);
  return {
    ...call,
    qLen,
    kvLen,
    query: rangeOf(call.query, seq, qFrom, qLen),
    key: rangeOf(call.key, seq, kvFrom, kvLen),
    value: rangeOf(call.value, seq, kvFrom, kvLen),
    out: perRow(results.out, seq),
    lse: results.lse && perRow(results.lse, 1),
    weights: weights && weightsOf(weights, results, slots, qFrom, qLen, kvLen),
    tap: tap && ({ stage: tap.stage, scores: perRow(results.scores!, 1, kvLen) } satisfies TapCall),
    qOffset: typeof qOffset === "object" ? qOffset[s]! : qOffset,
    kvLengths: kvLengths && [kvLengths[s]!],
    modifiers: modifiers && modifiersOf(modifiers, s, qLen, kvLen),
    sequences: undefined,
  };
}

function modifiersOf(whole: Modifiers, s: number, qLen: number, kvLen: number): Modifiers {
  const { qLengths, mask, bias, programs } = whole;
  return {
    ...whole,
    qLengths: qLengths && [qLengths[s]!],
    mask: mask && cornerOf(mask, s, qLen, kvLen),
    bias: bias && cornerOf(bias, s, qLen, kvLen),
    program: programs?.[s],
    programs: undefined,
  };
}

function weightsOf(
  weights: WeightsCall,
  { weights: values, indices }: GatheredResults,
  slots: RowSlots,
  qFrom: number,
  qLen: number,
  kvLen: number,
): WeightsCall | undefined {
  const { view } = values!;
  switch (weights.kind) {
    case "full":
      return { kind: "full", values: partOf(view, 1, qFrom, qLen, kvLen) };
    case "head-mean":
      return { kind: "head-mean", values: partOf(view, 0, qFrom, qLen, kvLen) };
    case "top-k": {
      const part = (of: TensorView): Destination => partOf(of, 1, qFrom, qLen);
      return { kind: "top-k", k: weights.k, values: part(view), indices: part(indices!.view) };
    }
    case "rows": {
      const from = lowerBound(slots, qFrom);
      const rows = slots.slice(from, lowerBound(slots, qFrom + qLen)).map(({ row }) => row - qFrom);
      if (rows.length === 0) return undefined;
      return { kind: "rows", rows, values: partOf(view, 1, from, rows.length, kvLen) };
    }
  }
}

/** How many of the chosen rows come before `row`. */
function lowerBound(slots: RowSlots, row: number): number {
  let low = 0;
  let high = slots.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (slots[middle]!.row < row) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The part of a view from `from` on along an axis, and of its first `width` columns. */
function rangeOf(view: TensorView, axis: number, from: number, length: number, width?: number): TensorView {
  const start = new Array<number>(view.shape.length).fill(0);
  const size = view.shape.slice();
  start[axis] = from;
  size[axis] = length;
  if (width !== undefined) size[size.length - 1] = width;
  return sliceView(view, start, size);
}

function partOf(view: TensorView, axis: number, from: number, length: number, width?: number): Destination {
  const target = rangeOf(view, axis, from, length, width);
  return { shape: target.shape, elements: target.elements, dtype: target.dtype, target };
}

/** Finds a place for a whole result, and fills it with the bits that no sequence writes. */
function gather(
  destination: Destination,
  memory: LinearMemory,
  caller: string,
  padding = 0,
  isMoved = false,
): Gathered {
  const { shape, elements, dtype, target } = destination;
  const data = newData(destination, memory, caller);
  const whole = { dtype, shape, strides: contiguousStrides(shape, elements), elements, span: elements };
  const to: TensorView = target ?? {
    ...whole,
    contiguous: true,
    address: -1,
    outside: rawArray(dtype, data!.buffer, 0, elements),
  };
  if (target === undefined && !isMoved) {
    if (padding !== 0) to.outside!.fill(padding);
    return { data, view: to, to };
  }
  const address = memory.scratch.allocate(elements * ELEMENT_BYTE_LENGTH[dtype], caller);
  const at = address / ELEMENT_BYTE_LENGTH[dtype];
  rawMemory(dtype, memory.views()).fill(padding, at, at + elements);
  return { data, view: { ...whole, contiguous: true, address, outside: undefined }, to };
}

function deliver({ view, to }: Gathered, memory: LinearMemory): void {
  if (view !== to) copyView(view, to, memory);
}

/** Puts chosen rows into the order in which they were asked for. */
function deliverRows({ view, to }: Gathered, slots: RowSlots, memory: LinearMemory): void {
  slots.forEach(({ slot }, at) => {
    copyView(rangeOf(view, 1, at, 1), rangeOf(to, 1, slot, 1), memory);
  });
}

function copyView(from: TensorView, to: TensorView, memory: LinearMemory): void {
  const raw = rawMemory(from.dtype, memory.views());
  const indexOf = ({ address, outside, dtype }: TensorView): number =>
    outside === undefined ? address / ELEMENT_BYTE_LENGTH[dtype] : 0;
  copyElements(
    from.shape,
    from.outside ?? raw,
    indexOf(from),
    from.strides,
    to.outside ?? raw,
    indexOf(to),
    to.strides,
  );
}
