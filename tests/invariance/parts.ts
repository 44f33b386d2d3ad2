/** Cutting, permuting and repeating a problem changes no bit of what it should not touch. */
import { problemOf } from "../conformance/arbitrary.ts";
import { axesOf, optionsOf } from "../conformance/arrange.ts";
import { numbersOf, type Problem } from "../conformance/problem.ts";
import type { PaintedTensor } from "../vectors/schema.ts";
import { type Law, lawCasesOf, sameOutcome } from "./law.ts";
import {
  batchRowsOf,
  firstKeysOf,
  offsetOf,
  partOf,
  permutedHeadsOf,
  range,
  rowsOf,
  takeOf,
  visibilityOf,
  withoutMasks,
} from "./slices.ts";

const rotated = (length: number, by: number) => range(0, length).map((n) => (n + by) % length);

/** One past the last key that some row sees. */
function seenKeys(problem: Problem): number {
  const { batch, numHeads, qLen, kvLen } = problem.shape;
  const visible = visibilityOf(problem);
  const anyRow = (j: number) =>
    range(0, batch).some((b) => range(0, numHeads).some((h) => range(0, qLen).some((i) => visible(b, h, i, j))));
  let end = kvLen;
  while (end > 0 && !anyRow(end - 1)) end--;
  return end;
}

/** `[1, heads, length, dim]` as the rows of one packed tensor `[length, heads, dim]`. */
function packed(parts: readonly PaintedTensor[]) {
  const rows: number[] = [];
  let total = 0;
  for (const { data, shape } of parts) {
    const [, heads, length, dim] = shape;
    total += length;
    for (let i = 0; i < length; i++) {
      for (let h = 0; h < heads; h++) {
        const from = (h * length + i) * dim;
        rows.push(...data.subarray(from, from + dim));
      }
    }
  }
  const [, heads, , dim] = parts[0]!.shape;
  return { data: Float32Array.from(rows), shape: [total, heads, dim] };
}

function prefixSums(lengths: readonly number[]): number[] {
  const sums = [0];
  for (const n of lengths) sums.push(sums.at(-1)! + n);
  return sums;
}

const laws: Law[] = [
  {
    name: "a row alone is that row in its batch",
    count: 60,
    wild: true,
    holds(sketch, choice, { run, same }) {
      const problem = problemOf(sketch);
      const { batch, qLen } = problem.shape;
      if (qLen === 0) return;
      const b = choice % batch;
      const i = choice % qLen;
      const one = rowsOf(batchRowsOf(problem, [b]), i, i + 1);
      const ofBatch = { ...problem, shape: { ...problem.shape, batch: 1 } };
      const expected = partOf(partOf(run(problem), problem, 0, [b]), ofBatch, 2, [i]);
      same(run(one), expected, one, `row ${i} of batch row ${b}`);
    },
  },
  {
    name: "a prefill in chunks is the whole prefill",
    count: 50,
    holds(sketch, choice, { run, same }) {
      const problem = problemOf(sketch);
      const { qLen } = problem.shape;
      const whole = run(problem);
      const step = 1 + (choice % 9);
      // The first chunks, and the last.
      const starts = range(0, Math.ceil(qLen / step)).map((n) => n * step);
      for (const from of new Set([...starts.slice(0, 4), ...starts.slice(-1)])) {
        const to = Math.min(qLen, from + step);
        const chunk = rowsOf(problem, from, to);
        same(run(chunk), partOf(whole, problem, 2, range(from, to)), chunk, `rows ${from} to ${to}`);
      }
    },
  },
  {
    name: "keys after the last visible one could as well be absent",
    count: 50,
    holds(sketch, _choice, { run, same }) {
      const problem = problemOf(sketch);
      const shorter = firstKeysOf(problem, seenKeys(problem));
      same(run(shorter), run(problem), shorter, `${shorter.shape.kvLen} keys`);
    },
  },
  {
    name: "permuted heads give permuted results",
    count: 40,
    wild: true,
    holds(sketch, choice, { run }) {
      const problem = problemOf(sketch);
      const { numHeads, numKvHeads } = problem.shape;
      const group = numHeads / numKvHeads;
      const kvHeads = rotated(numKvHeads, choice % numKvHeads);
      // Inside a group the heads change places too.
      const inGroup = rotated(group, choice % group);
      const heads = kvHeads.flatMap((head) => inGroup.map((n) => head * group + n));
      const permuted = run(permutedHeadsOf(problem, heads, kvHeads));
      const expected = partOf(run(problem), problem, 1, heads);
      // The rows of a tile change places: the fast build too computes each of them alike.
      sameOutcome(permuted, expected, `heads ${heads}`);
    },
  },
  {
    name: "permuted batch rows give permuted results",
    count: 30,
    wild: true,
    holds(sketch, choice, { run }) {
      const problem = problemOf(sketch);
      const rows = rotated(problem.shape.batch, 1 + (choice % 2));
      sameOutcome(run(batchRowsOf(problem, rows)), partOf(run(problem), problem, 0, rows), `batch rows ${rows}`);
    },
  },
  {
    name: "grouped heads are repeated key and value heads",
    count: 40,
    holds(sketch, _choice, { run, same }) {
      const problem = problemOf(sketch);
      const { shape } = problem;
      const group = shape.numHeads / shape.numKvHeads;
      const heads = range(0, shape.numHeads).map((h) => Math.floor(h / group));
      const repeated: Problem = {
        ...problem,
        shape: { ...shape, numKvHeads: shape.numHeads },
        key: takeOf(problem.key, 1, heads),
        value: takeOf(problem.value, 1, heads),
      };
      same(run(repeated), run(problem), repeated, "repeated heads");
    },
  },
  {
    name: "packed sequences are each sequence alone",
    count: 40,
    holds(sketch, choice, { run, same, library, engine }) {
      // The fast path: what goes by position or by head. Masks, biases and lengths make each sequence a call of its own.
      const { kvLengths: _kv, qLengths: _q, ...options } = withoutMasks(problemOf(sketch).options);
      const problem: Problem = { ...problemOf({ shape: sketch.shape, seed: sketch.seed, options: {} }), options };
      const { batch, qLen, kvLen, numHeads, valueHeadDim } = problem.shape;
      const alone = range(0, batch).map((b) => {
        // Each sequence is as long as its number says, the first sometimes empty.
        const queries = (choice + b * 7) % (qLen + 1);
        const keys = (choice + b * 13) % (kvLen + 1);
        return firstKeysOf(rowsOf(batchRowsOf(problem, [b]), 0, queries), keys);
      });
      const cuQLens = prefixSums(alone.map(({ shape }) => shape.qLen));
      const cuKvLens = prefixSums(alone.map(({ shape }) => shape.kvLen));
      const qOffset = range(0, batch).map((b) => offsetOf(options, b));
      const result = library.attention(
        packed(alone.map(({ query }) => query)),
        packed(alone.map(({ key }) => key)),
        packed(alone.map(({ value }) => value)),
        {
          ...optionsOf(problem, library, "plain", (x) => x),
          qOffset,
          cuQLens,
          cuKvLens,
          returnLse: true,
          engine,
        } as never,
      ) as { out: { data: Float32Array; shape: number[] }; lse: { data: Float32Array; shape: number[] } };
      const out = numbersOf(result.out.data, "float32", "out");
      const lse = numbersOf(result.lse.data, "float32", "lse");
      const total = cuQLens.at(-1)!;
      const rowSizes = { b: 1, s: total, h: numHeads };
      const dims = axesOf("bshd", 3).map((axis) => rowSizes[axis]);
      if (`${result.out.shape}` !== `${[...dims, valueHeadDim]}`) throw new Error(`out.shape is ${result.out.shape}`);
      if (`${result.lse.shape}` !== `${[numHeads, total]}`) throw new Error(`lse.shape is ${result.lse.shape}`);
      alone.forEach((one, b) => {
        const [from, to] = [cuQLens[b]!, cuQLens[b + 1]!];
        const actual = { out: new Float32Array(numHeads * (to - from) * valueHeadDim), lse: new Float32Array(0) };
        const logs: number[] = [];
        for (let h = 0; h < numHeads; h++) {
          for (let i = from; i < to; i++) {
            const at = (i * numHeads + h) * valueHeadDim;
            actual.out.set(out.subarray(at, at + valueHeadDim), (h * (to - from) + i - from) * valueHeadDim);
            logs.push(lse[h * total + i]!);
          }
        }
        actual.lse = Float32Array.from(logs);
        same(actual, run(one), one, `sequence ${b} of ${batch}`);
      });
    },
  },
];

export const partLaws = lawCasesOf(laws);
