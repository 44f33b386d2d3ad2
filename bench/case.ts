/** What a bench case is: the work that no kernel is spared, its operands, and who does it. */
import type { Engine } from "saccade";
import type { Task } from "./peers/task.ts";

/** What a call has to do, whatever the kernel; the limit that takes longest binds. */
export interface Work {
  /** Float32 multiplications and additions; one of float64, of which half as many fit a vector, is two. */
  readonly flops?: number;
  /** Bytes that are read, or that are written where these are more, in one pass. */
  readonly bytes?: number;
  /** How often these bytes have to be gone through, since a later step needs all of an earlier one. Default 1. */
  readonly passes?: number;
  readonly exponentials?: number;
  readonly divisions?: number;
}

/** One case by one library, its operands in place. */
export interface Placed {
  /** What is timed. */
  readonly call: () => unknown;
  /** Of the last call. */
  readonly result: () => ArrayLike<number>;
  /** Where what is computed depends on how operands are kept: used instead of the case's own. */
  readonly margin?: (got: ArrayLike<number>) => number;
  readonly dispose?: () => unknown;
}

/** Operands painted, not yet with a library. */
export interface Prepared {
  readonly on: (engine: Engine) => Placed;
  /** The largest error of sampled rows as a share of what float32 rounding explains; NaN for what is no number. */
  readonly margin: (got: ArrayLike<number>) => number;
  /** What other libraries are asked; left out where none has it. */
  readonly task?: Task;
}

/** What is measured, in words and in numbers. */
export interface BenchCase {
  readonly name: string;
  readonly words: string;
  /** Cases of one block are timed in the same rounds; they lie in memory together. */
  readonly block: string;
  readonly work: Work;
  /** Hyperbolic tangents of additive attention, whose time is also set against theirs. */
  readonly tangents?: number;
  /** The case without what this one adds, and how much of its time this one may take at most. */
  readonly against?: { readonly name: string; readonly goal?: number };
  /** Our strict build is timed on several threads too, in the same rounds. */
  readonly threaded?: true;
  readonly prepare: () => Prepared;
}
