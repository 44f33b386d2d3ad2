/**
 * A session: operators run one after the other on operands that stay in linear memory. Inputs are placed once, what one
 * operator leaves the next reads where it lies, and only results are copied out. When the session ends, all of its
 * temporary memory is free again, whatever happened.
 */

import { ELEMENT_BYTE_LENGTH, type TensorData } from "../dtype.ts";
import { operators } from "../operator-modules.ts";
import { KIND_OPERATOR } from "./abi.ts";
import type { Destination } from "./call.ts";
import { plan, type Steps } from "./dispatch.ts";
import type { WasmInstance } from "./instance.ts";
import type { LinearMemory } from "./memory.ts";
import { type OperatorArguments, readPlan, writeOperator, writeScratch } from "./operator-block.ts";
import { newData, type Placed, placeContiguous, rawMemory, takeOut } from "./place.ts";
import { afterwards, recordingOf } from "./recording.ts";
import { effortOf, runTiles, threadsFor } from "./sharing.ts";
import { contiguousStrides, copyElements, type TensorView } from "./view.ts";
import { wantOperators } from "./wanted.ts";

/** Operators of the wasm by their numbers; each has its page in the crate's `ops`. */
export const OPERATORS = {
  convert: 1,
  linear: 2,
  packWeight: 3,
  softmax: 10,
  gru: 11,
  layerNorm: 12,
  pooling: 20,
  kernelRegression: 21,
  unitRows: 23,
  averageMaximum: 30,
  convolution: 31,
  gate: 32,
  weightedSum: 33,
  sinusoidal: 40,
  rotary: 41,
  embedding: 42,
  t5Bias: 43,
  relativeShift: 44,
  relativeValue: 45,
  headVector: 46,
} as const;

/** An operator's name. */
export type OperatorName = keyof typeof OPERATORS;

/** Row-major elements in linear memory: an operand, and a view that the attention kernels take too. */
export interface Slot extends TensorView {
  readonly outside: undefined;
}

/** A result on its way: the slot that operators write, and the new array it is copied to (undefined: a given target). */
export interface ResultSlot extends Slot {
  readonly data: TensorData | undefined;
}

/** What {@link inSession} hands to its body. */
export class Session {
  readonly instance: WasmInstance;
  readonly caller: string;
  readonly #memory: LinearMemory;
  readonly #results: { readonly destination: Destination; readonly place: Placed; readonly slot: ResultSlot }[] = [];

  constructor(instance: WasmInstance, caller: string) {
    this.instance = instance;
    this.caller = caller;
    this.#memory = instance.memory(caller);
  }

  /**
   * A place for a result. Ask for all results first: if the JavaScript heap refuses a new array, nothing has been written
   * anywhere. A row-major target in this memory is written where it lies.
   */
  result(destination: Destination): ResultSlot {
    const data = newData(destination, this.#memory, this.caller);
    const place = placeContiguous(destination, this.#memory, this.caller);
    const { dtype, shape } = destination;
    const { address, strides, elements, span } = this.#slot(place.address, dtype, shape);
    const slot = { address, dtype, shape, strides, elements, span, contiguous: true, outside: undefined, data };
    this.#results.push({ destination, place, slot });
    return slot;
  }

  /** Temporary memory for what one operator leaves to the next; content undefined. */
  temporary(shape: readonly number[], dtype: "float32" | "int32" = "float32"): Slot {
    const elements = shape.reduce((product, size) => product * size, 1);
    return this.#slot(this.#memory.scratch.allocate(elements * 4, this.caller), dtype, shape);
  }

  /** An input as float32, row-major: used where it lies if it is so already; halves are converted exactly. */
  input(view: TensorView): Slot {
    const raw = this.raw(view);
    if (raw.dtype !== "float16" && raw.dtype !== "bfloat16") return raw;
    const slot = this.temporary(view.shape);
    this.run("convert", { integers: [view.elements], inputs: [raw], outputs: [slot] });
    return slot;
  }

  /** An input of any dtype, row-major: used where it lies if it is so already. */
  raw(view: TensorView): Slot {
    const { shape, elements, dtype, address, outside } = view;
    if (address >= 0 && view.contiguous) return view as Slot;
    const size = ELEMENT_BYTE_LENGTH[dtype];
    const slot = this.#slot(this.#memory.scratch.allocate(elements * size, this.caller), dtype, shape);
    const at = slot.address / size;
    const place = (): void => {
      const memory = rawMemory(dtype, this.#memory.views());
      if (outside !== undefined && view.contiguous) memory.set(outside, at);
      else copyElements(shape, outside ?? memory, outside ? 0 : address / size, view.strides, memory, at, slot.strides);
    };
    // What lies in this memory may be what an earlier operator has still to write.
    if (outside === undefined) afterwards(this.instance, place);
    else place();
    return slot;
  }

  /** Copies floats to elements in this memory, of the same shape and any strides, as float32. */
  copy(view: TensorView, target: TensorView): void {
    // What lies outside is the caller's, and is read before the call returns.
    const isLate = view.outside !== undefined && recordingOf(this.instance) !== undefined;
    const { shape, outside, address, strides } = view.dtype === "float32" && !isLate ? view : this.input(view);
    afterwards(this.instance, () => {
      const memory = rawMemory("float32", this.#memory.views());
      const at = outside === undefined ? address >>> 2 : 0;
      copyElements(shape, outside ?? memory, at, strides, memory, target.address >>> 2, target.strides);
    });
  }

  /** Numbers of ours as an operand. */
  list(values: Float32Array | Int32Array): Slot {
    const slot = this.temporary([values.length], values instanceof Float32Array ? "float32" : "int32");
    const { f32, i32 } = this.#memory.views();
    if (values instanceof Float32Array) f32.set(values, slot.address >>> 2);
    else i32.set(values, slot.address >>> 2);
    return slot;
  }

  /** Numbers that an earlier part of the call leaves in an array of ours, as an operand. */
  left(values: Float32Array): Slot {
    const slot = this.temporary([values.length]);
    afterwards(this.instance, () => this.#memory.views().f32.set(values, slot.address >>> 2));
    return slot;
  }

  /** Runs all phases of an operator. */
  run(name: OperatorName, call: OperatorArguments): void {
    const { instance, caller } = this;
    const { scratch } = this.#memory;
    const mark = scratch.mark();
    const job = recordingOf(instance);
    if (job !== undefined) {
      const { work, tiles } = this.#plan(name, call);
      scratch.release(mark);
      job.add(effortOf(work) * tiles.filter((count) => count > 0).length, () => this.#steps(name, call));
      return;
    }
    try {
      const { block, work, tiles } = this.#plan(name, call);
      tiles.forEach((count, phase) => {
        if (count > 0) runTiles(instance, KIND_OPERATOR, phase, block, 0, count, work, caller);
      });
    } finally {
      scratch.release(mark);
    }
  }

  /** As {@link run}, phase by phase. */
  *#steps(name: OperatorName, call: OperatorArguments): Steps<void> {
    const { scratch } = this.#memory;
    const mark = scratch.mark();
    const { block, work, tiles } = this.#plan(name, call);
    for (const [phase, count] of tiles.entries()) {
      if (count > 0) yield { kind: KIND_OPERATOR, phase, block, pass: 0, tiles: count, work };
    }
    scratch.release(mark);
  }

  /** Writes the argument block and gives the operator its temporary memory. */
  #plan(name: OperatorName, call: OperatorArguments): { block: number; work: number; tiles: readonly number[] } {
    const { instance, caller } = this;
    const memory = this.#memory;
    const block = instance.operatorBlock;
    writeOperator(memory.views(), block, OPERATORS[name], call);
    plan(instance, KIND_OPERATOR, block, caller);
    const { scratchByteLength: least, workspaceByteLength, work, tiles } = readPlan(memory.views().u32, block);
    const scratchByteLength = least + (threadsFor(instance, work) - 1) * workspaceByteLength;
    const scratch = memory.scratch.allocate(scratchByteLength, caller);
    writeScratch(memory.views().u32, block, scratch, scratchByteLength);
    return { block, work, tiles };
  }

  /** The same elements under another shape. */
  reshape(slot: Slot, shape: readonly number[]): Slot {
    return this.#slot(slot.address, slot.dtype, shape);
  }

  /** Copies all results out. */
  finish(): void {
    const views = this.#memory.views();
    for (const { destination, place, slot } of this.#results) takeOut(destination, place, slot.data, views);
  }

  #slot(address: number, dtype: TensorView["dtype"], shape: readonly number[]): Slot {
    const elements = shape.reduce((product, size) => product * size, 1);
    const strides = contiguousStrides(shape, elements);
    return { address, dtype, shape, strides, elements, span: elements, contiguous: true, outside: undefined };
  }
}

/**
 * Runs `body` with a session, then copies its results out. That the program has a use for operators is noted where this name
 * gets its value: some bundlers drop a statement of its own, and all of them keep what a used name needs.
 */
export const inSession: typeof runInSession = wantOperators(runInSession, operators);

function runInSession<R>(instance: WasmInstance, caller: string, body: (session: Session) => R): R {
  const { scratch } = instance.memory(caller);
  const job = recordingOf(instance);
  const mark = scratch.mark();
  try {
    const session = new Session(instance, caller);
    const value = body(session);
    afterwards(instance, () => session.finish());
    return value;
  } finally {
    if (job === undefined) scratch.release(mark);
  }
}
