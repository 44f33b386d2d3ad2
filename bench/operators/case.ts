/** What a bench case of an operator is: its operands, the call, the work that no kernel is spared, and its definition in float64. */
import { type Engine, Tensor } from "saccade";
import type { Numbers, Peer } from "../peers/peer.ts";

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

/** An element of a result, its exact value, and what float32 rounding explains. */
export type Compared = readonly [got: number, exact: number, bound: number];

/** One operator on some operands, which are placed in an engine's memory under their names. */
export interface Setup<K extends string> {
  readonly operands: Readonly<Record<K, Numbers>>;
  /** The shape of the resident result; left out where the call gives a new one. */
  readonly out?: readonly number[];
  /** What comes before timing; the call that is timed. */
  readonly start: (operands: Readonly<Record<K, Tensor>>, options: Options) => () => unknown;
  /** Without a resident result: the numbers of what the call gave. */
  readonly numbersOf?: (given: never) => ArrayLike<number>;
  /** A result, or rows spread over it, against the definition. */
  readonly compare: (got: ArrayLike<number>) => Iterable<Compared>;
  /** Other libraries on the same operands. */
  readonly peers?: () => Promise<Peer[]>;
}

/** The call's engine and its resident result. */
export interface Options {
  readonly engine: Engine;
  readonly out: Tensor;
}

/** A case on one engine. */
export interface Placed {
  readonly call: () => void;
  readonly result: () => ArrayLike<number>;
}

/** Operands painted, not yet on an engine. */
export interface Prepared {
  readonly on: (engine: Engine) => Placed;
  /** The largest error as a share of what float32 rounding explains; NaN for what is no number. */
  readonly margin: (got: ArrayLike<number>) => number;
  readonly peers: () => Promise<Peer[]>;
}

/** What is measured, in words and in numbers. */
export interface OperatorCase {
  readonly name: string;
  readonly words: string;
  readonly work: Work;
  /** Hyperbolic tangents of additive attention, whose time is also given as a share of theirs. */
  readonly tangents?: number;
  readonly prepare: () => Prepared;
}

/** A case out of its setup, which is made when it is needed. */
export function operatorCase<K extends string>(
  { name, words, ...work }: { readonly name: string; readonly words: string } & Work & { readonly tangents?: number },
  setup: () => Setup<K>,
): OperatorCase {
  const { tangents } = work;
  return { name, words, work, ...(tangents === undefined ? {} : { tangents }), prepare: () => prepared(setup()) };
}

function prepared<K extends string>({ operands, out: shape, start, ...setup }: Setup<K>): Prepared {
  const named = Object.entries(operands) as [K, Numbers][];
  return {
    on(engine) {
      const tensors = named.map(([name, numbers]) => [name, Tensor.from(numbers, { engine })] as const);
      const out = Tensor.zeros([...(shape ?? [0])], "float32", { engine });
      const call = start(Object.fromEntries(tensors) as Record<K, Tensor>, { engine, out });
      if (shape !== undefined) return { call: () => void call(), result: () => out.toPlain().data };
      let given: unknown;
      const result = () => setup.numbersOf?.(given as never) ?? [];
      return { call: () => (given = call()), result };
    },
    margin(got) {
      let largest = 0;
      for (const [value, exact, bound] of setup.compare(got)) {
        const error = Math.abs(value - exact);
        if (error !== 0) largest = Math.max(largest, error / bound);
      }
      return largest;
    },
    peers: setup.peers ?? (async () => []),
  };
}

/** Numbers from -2 to 2 times `gain`, those near 0 more often. */
export function painted(seed: number, shape: number[], gain = 1): Numbers {
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  const length = shape.reduce((a, b) => a * b, 1);
  return { data: Float32Array.from({ length }, () => gain * (next() + next())), shape };
}
