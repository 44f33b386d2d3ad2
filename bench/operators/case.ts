/** What a bench case of an operator is: its operands, the call, the work that no kernel is spared, and its definition in float64. */
import { type Engine, Tensor } from "saccade";
import type { BenchCase, Prepared, Work } from "../case.ts";
import type { Numbers, Task } from "../peers/task.ts";

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
  /** What other libraries are asked about the same operands. */
  readonly task?: Task;
}

/** The call's engine and its resident result. */
export interface Options {
  readonly engine: Engine;
  readonly out: Tensor;
}

/** What a case is, in words and in numbers; its block is that of its family. */
type Named = Pick<BenchCase, "name" | "words" | "tangents"> & Work;

/** Makes cases of one family, which are timed in the same rounds, out of their setups, which are made when they are needed. */
export const family =
  (block: string) =>
  <K extends string>({ name, words, tangents, ...work }: Named, setup: () => Setup<K>): BenchCase => ({
    ...{ name, words, block, work },
    ...(tangents === undefined ? {} : { tangents }),
    prepare: () => prepared(setup()),
  });

function prepared<K extends string>({ operands, out: shape, start, ...setup }: Setup<K>): Prepared {
  const named = Object.entries(operands) as [K, Numbers][];
  return {
    on(engine) {
      const tensors = named.map(([name, numbers]) => [name, Tensor.from(numbers, { engine })] as const);
      const out = Tensor.zeros([...(shape ?? [0])], "float32", { engine });
      const call = start(Object.fromEntries(tensors) as Record<K, Tensor>, { engine, out });
      const dispose = () => {
        for (const tensor of [out, ...tensors.map(([, tensor]) => tensor)]) tensor.dispose();
      };
      if (shape !== undefined) return { call, result: () => out.toPlain().data, dispose };
      let given: unknown;
      const result = () => setup.numbersOf?.(given as never) ?? [];
      return { call: () => (given = call()), result, dispose };
    },
    margin(got) {
      let largest = 0;
      for (const [value, exact, bound] of setup.compare(got)) {
        const error = Math.abs(value - exact);
        if (error !== 0) largest = Math.max(largest, error / bound);
      }
      return largest;
    },
    ...(setup.task && { task: setup.task }),
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
