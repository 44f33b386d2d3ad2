/**
 * Packed sequences: each is an ordinary call over slices of what the whole call has proved. Results gather in scratch
 * memory, and go to new arrays or the caller's targets at the very end, so that a call that runs out of memory halfway has written
 * nothing.
 */

import { ELEMENT_BYTE_LENGTH, type TensorData } from "../dtype.ts";
import { rawArray } from "../layout/typed-array.ts";
import { type AttentionOutcome, runAttention } from "./attention.ts";
import {
  type AttentionCall,
  type Destination,
  type Modifiers,
  RESULT_OUT,
  RESULT_SCORES,
  RESULT_WEIGHTS,
  type Results,
  type Sequences,
} from "./call.ts";
import type { WasmInstance } from "./instance.ts";
import type { LinearMemory } from "./memory.ts";
import { newData, rawMemory } from "./place.ts";
import { afterwards, recordingOf } from "./recording.ts";
import { copyElements, rowMajor, sliceView, type TensorView } from "./view.ts";

/** The bits of a float32 -Infinity. */
const MINUS_INFINITY = 0xff800000 | 0;

/** The corner of a mask or bias that a sequence sees; axes that are broadcast stay so. */
export function cornerOf(view: TensorView, sequence: number, qLen: number, kvLen: number): TensorView {
  const { shape } = view;
  const missing = 4 - shape.length;
  const from = shape.map((size, axis) => (axis + missing === 0 && size !== 1 ? sequence : 0));
  const own = shape.map((size, axis) => (size === 1 ? 1 : [1, size, qLen, kvLen][axis + missing]!));
  return sliceView(view, from, own);
}

/** A result of the whole call, gathered sequence by sequence. */
interface Gathered {
  /** The new array, where no target is given. */
  readonly data: TensorData | undefined;
  /** What the sequences write, in scratch memory. */
  readonly view: TensorView;
  /** Where it goes in the end. */
  readonly to: TensorView;
}

/** Query rows whose weights are wanted, ascending, and the place of each among the results. */
type RowSlots = readonly { readonly row: number; readonly slot: number }[];

/** Runs a packed call, one sequence after the other. Whatever happens, the scratch arena is as it was. */
export function runPacked(instance: WasmInstance, call: AttentionCall, sequences: Sequences): AttentionOutcome {
  const { scratch } = instance.memory(call.caller);
  const isRecorded = recordingOf(instance) !== undefined;
  const mark = scratch.mark();
  try {
    return runGathered(instance, call, sequences);
  } finally {
    if (!isRecorded) scratch.release(mark);
  }
}

function runGathered(instance: WasmInstance, call: AttentionCall, sequences: Sequences): AttentionOutcome {
  const { caller, results, weights, tap, qLen: total } = call;
  const memory = instance.memory(caller);
  const slots = weights?.kind === "rows" ? slotsOf(weights.rows) : [];
  const gathered = results.map(
    (result, index) =>
      result && gather(result, memory, caller, index === RESULT_SCORES && tap === "biased" ? MINUS_INFINITY : 0),
  );
  const outcome: AttentionOutcome = { data: gathered.map((result) => result?.data), emptyRow: -1 };
  for (let s = 0; s + 1 < sequences.query.length; s++) {
    const from = sequences.query[s]!;
    const length = sequences.query[s + 1]! - from;
    if (length === 0) continue;
    const part = runAttention(instance, callOf(call, sequences, s, gathered, slots));
    afterwards(instance, () => {
      const found = part.emptyRow;
      if (found < 0) return;
      const index = Math.floor(found / length) * total + from + (found % length);
      if (outcome.emptyRow < 0 || index < outcome.emptyRow) outcome.emptyRow = index;
    });
  }
  afterwards(instance, () => {
    gathered.forEach((result, index) => {
      if (result === undefined) return;
      const { view, to } = result;
      if (index !== RESULT_WEIGHTS || slots.length === 0) copyView(view, to, memory);
      else {
        slots.forEach(({ slot }, at) => {
          copyView(rangeOf(view, 1, at, 1), rangeOf(to, 1, slot, 1), memory);
        });
      }
    });
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
  gathered: Results<Gathered>,
  slots: RowSlots,
): AttentionCall {
  const { seq } = call.axes;
  const { qOffset, kvLengths, modifiers } = call;
  const qFrom = sequences.query[s]!;
  const qLen = sequences.query[s + 1]! - qFrom;
  const kvFrom = sequences.key[s]!;
  const kvLen = sequences.key[s + 1]! - kvFrom;
  // Of chosen rows those of this sequence, by their places among all that are chosen.
  const chosen = slots.filter(({ row }) => row >= qFrom && row < qFrom + qLen);
  const isChosen = call.weights?.kind === "rows";
  const weights = isChosen ? { kind: "rows" as const, rows: chosen.map(({ row }) => row - qFrom) } : call.weights;
  const hasWeights = !isChosen || chosen.length > 0;
  const partOf = (whole: Gathered | undefined, index: number): Destination | undefined => {
    if (whole === undefined || (index === RESULT_WEIGHTS && !hasWeights)) return undefined;
    const axis = index === RESULT_OUT ? seq : index === RESULT_WEIGHTS && weights?.kind === "head-mean" ? 0 : 1;
    const isWide = index === RESULT_SCORES || (index === RESULT_WEIGHTS && weights?.kind !== "top-k");
    const [from, length] =
      isChosen && index === RESULT_WEIGHTS ? [slots.indexOf(chosen[0]!), chosen.length] : [qFrom, qLen];
    const target = rangeOf(whole.view, axis, from, length, isWide ? kvLen : undefined);
    return { shape: target.shape, elements: target.elements, dtype: target.dtype, target };
  };
  return {
    ...call,
    qLen,
    kvLen,
    query: rangeOf(call.query, seq, qFrom, qLen),
    key: rangeOf(call.key, seq, kvFrom, kvLen),
    value: rangeOf(call.value, seq, kvFrom, kvLen),
    results: gathered.map(partOf),
    weights: hasWeights ? weights : undefined,
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

/** A range of one axis; `width` cuts the last axis from its start. */
function rangeOf(view: TensorView, axis: number, from: number, length: number, width?: number): TensorView {
  const start = new Array<number>(view.shape.length).fill(0);
  const size = view.shape.slice();
  start[axis] = from;
  size[axis] = length;
  if (width !== undefined) size[size.length - 1] = width;
  return sliceView(view, start, size);
}

/** Scratch memory to gather a result in; `padding` is the bits of what no sequence writes. */
function gather(destination: Destination, memory: LinearMemory, caller: string, padding: number): Gathered {
  const { shape, elements, dtype, target } = destination;
  const data = newData(destination, memory, caller);
  const size = ELEMENT_BYTE_LENGTH[dtype];
  const address = memory.scratch.allocate(elements * size, caller);
  const at = address / size;
  rawMemory(dtype, memory.views()).fill(padding, at, at + elements);
  const to = target ?? rowMajor(dtype, shape, elements, -1, rawArray(dtype, data!.buffer, 0, elements));
  return { data, view: rowMajor(dtype, shape, elements, address), to };
}

/** Copies scratch memory to where it goes. */
function copyView(from: TensorView, to: TensorView, memory: LinearMemory): void {
  const raw = rawMemory(from.dtype, memory.views());
  const size = ELEMENT_BYTE_LENGTH[from.dtype];
  const toAt = to.outside === undefined ? to.address / size : 0;
  copyElements(from.shape, raw, from.address / size, from.strides, to.outside ?? raw, toAt, to.strides);
}
