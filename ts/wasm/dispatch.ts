/**
 * Where tiles are run. A call is a sequence of phases, and the tiles of a phase are independent of each other: on one
 * thread a phase is one call over all its tiles, on several it is handed to the pool where there is enough to do, and a
 * call that must not block takes it from a {@link Steps} generator and runs it as it sees fit. Dispatch chooses who
 * computes a tile and when, never the arithmetic.
 */

import { STATUS_SIZE } from "./abi.ts";
import type { WasmInstance } from "./instance.ts";
import type { BytesChange } from "./loader.ts";
import { outOfMemory } from "./memory.ts";

/** Phases of the attention kind. */
export const PHASE_PACK = 0;
export const PHASE_ATTEND = 1;
/** In place of the one above, where a tile's keys are shared out too. */
export const PHASE_SPLIT = 2;
export const PHASE_MERGE = 3;
/** All of them, of all passes. */
export const PHASE_ALL = 4;

/** A phase of a call, all of whose tiles are to be run. */
export interface Phase {
  readonly kind: number;
  readonly phase: number;
  /** Address of the argument block. */
  readonly block: number;
  readonly pass: number;
  readonly tiles: number;
  /** About how much there is to do, in units of 1,024 multiply-adds of the micro-kernel; 0 where it cannot be shared. */
  readonly work: number;
  /** The error for a status that is the caller's business. */
  readonly refusal?: (status: number) => Error | undefined;
}

/**
 * A call that is run phase by phase: whoever drives it runs all tiles of each phase before it asks for the next. Until
 * it has ended (or `return` has been called on it) the instance belongs to it.
 */
export type Steps<R> = Generator<Phase, R, undefined>;

/** Threads that share the tiles of a phase: what the pool is to this layer, which never loads it. */
export interface TilePool {
  /** Threads that scratch memory is needed for, the calling one included. */
  readonly threads: number;
  /** What is worth sharing: {@link SHARED_WORK}, but for tests. */
  readonly leastWork: number;
  /** Threads that take tiles now, the calling one included, and why they are fewer than were asked for. */
  readonly inUse: number;
  readonly reason: string | undefined;
  /** What a wasm file must undergo to be the module of a thread. */
  readonly change: BytesChange;
  /** Runs all tiles of a phase and returns the first status that is not 0. */
  run(phase: Phase, caller: string): number;
  /** The same, piece by piece: opens a phase, takes chunks for the calling thread, and closes it when all are done. */
  open(phase: Phase, caller: string): void;
  step(): boolean;
  close(caller: string): number;
  /** Whether a phase is open, whether its chunks are done and how many of them, and whether one has taken too long. */
  readonly isOpen: boolean;
  readonly done: boolean;
  readonly share: number;
  readonly isLate: boolean;
  /** Takes all chunks that are left and leaves them. */
  drain(): void;
  /** Gives up a phase that {@link isLate}. */
  abandon(caller: string): Error;
  /** Ends all threads. */
  dispose(): void;
}

/** Validates the block and lets the wasm write its plan into it. */
export function plan(instance: WasmInstance, kind: number, block: number, caller: string): void {
  const exports = instance.exportsFor(kind, caller);
  let status: number;
  try {
    status = exports.plan(kind, block);
  } catch (trap) {
    throw instance.poison(caller, trap);
  }
  if (status !== 0) throw refused(instance, status >>> 0, caller);
}

/** Runs the tiles `[from, to)` of a phase in a pass on this thread; the status is the caller's business. */
export function statusOfTiles(
  instance: WasmInstance,
  kind: number,
  phase: number,
  block: number,
  pass: number,
  from: number,
  to: number,
  caller: string,
): number {
  const exports = instance.exportsFor(kind, caller);
  try {
    return exports.run(kind, phase, block, pass, from, to, 0) >>> 0;
  } catch (trap) {
    throw instance.poison(caller, trap);
  }
}

/** The error for a status that is not 0. */
export function refused(instance: WasmInstance, status: number, caller: string): Error {
  if ((status & 0xff) === STATUS_SIZE) {
    const memory = instance.memory(caller);
    // The product did not fit in 32 bits, so at least 4 GiB were asked for.
    return outOfMemory(caller, 2 ** 32, memory);
  }
  // Arguments are proved before the wasm is entered.
  return new Error(
    `${caller}: the wasm refused operand ${status >>> 8} (code ${status & 0xff}); this is a defect of saccade`,
  );
}
