/**
 * What follows from the numeric contract, for one build: cutting, permuting, repeating and scaling change no bit of
 * what they should not touch. In the fast build, whose bits may depend on the path taken, laws that cut the work into
 * other tiles are held to the error bound instead.
 */
import * as fc from "fast-check";
import { problemOf, runs, type Sketch, sketches } from "../conformance/arbitrary.ts";
import { attend, inputsOf, type Outcome, type Problem } from "../conformance/arrange.ts";
import { type Build, type Case, type Context, type Engine, equal, ok, sameBits } from "../conformance/harness.ts";
import { margins } from "../reference/bound.mjs";
import type { PaintedTensor } from "../vectors/schema.ts";

type Check = (outcome: Outcome, expected: Outcome, problem: Problem, what: string) => void;

interface Tools {
  exact: boolean;
  run(problem: Problem): Outcome;
  /** Same bits in the strict build, within the error bound in the fast one. */
  same: Check;
}

interface Law {
  name: string;
  count: number;
  holds(sketch: Sketch, choice: number, tools: Tools): void;
}

type Dims = PaintedTensor["shape"];

/** Rows `from` to `to` along one axis of a `[batch, heads, length, dim]` tensor. */
function slice({ data, shape }: PaintedTensor, axis: 0 | 1 | 2, from: number, to: number): PaintedTensor {
  const dims: Dims = [...shape];
  dims[axis] = to - from;
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const outer = shape.slice(0, axis).reduce((a, b) => a * b, 1);
  const result = new Float32Array(outer * (to - from) * inner);
  for (let o = 0; o < outer; o++) {
    const start = (o * shape[axis] + from) * inner;
    result.set(data.subarray(start, start + (to - from) * inner), o * (to - from) * inner);
  }
  return { data: result, shape: dims };
}

/** The heads of a tensor in another order; a head may be taken more than once. */
function takeHeads({ data, shape }: PaintedTensor, heads: readonly number[]): PaintedTensor {
  const [b, h, s, dim] = shape;
  const result = new Float32Array(b * heads.length * s * dim);
  for (let ib = 0; ib < b; ib++) {
    heads.forEach((head, n) => {
      const start = (ib * h + head) * s * dim;
      result.set(data.subarray(start, start + s * dim), (ib * heads.length + n) * s * dim);
    });
  }
  return { data: result, shape: [b, heads.length, s, dim] };
}

const outTensor = (outcome: Outcome, { batch, numHeads, qLen, valueHeadDim }: Problem["shape"]): PaintedTensor => ({
  data: outcome.out,
  shape: [batch, numHeads, qLen, valueHeadDim],
});

const lseTensor = (outcome: Outcome, { batch, numHeads, qLen }: Problem["shape"]): PaintedTensor => ({
  data: outcome.lse,
  shape: [batch, numHeads, qLen, 1],
});

/** The part of a whole result that belongs to a slice of its rows or batch. */
const part = (whole: Outcome, shape: Problem["shape"], axis: 0 | 2, from: number, to: number): Outcome => ({
  out: slice(outTensor(whole, shape), axis, from, to).data,
  lse: slice(lseTensor(whole, shape), axis, from, to).data,
});

const offsetOf = (options: Problem["options"], b: number): number =>
  typeof options.qOffset === "number" ? options.qOffset : (options.qOffset?.[b] ?? 0);

/** Query rows `from` to `to` as a problem of their own. */
function rowsOf(problem: Problem, from: number, to: number): Problem {
  const { shape, options } = problem;
  const offsets = Array.from({ length: shape.batch }, (_, b) => offsetOf(options, b) + from);
  return {
    ...problem,
    shape: { ...shape, qLen: to - from },
    query: slice(problem.query, 2, from, to),
    options: { ...options, ...(options.causal ? { qOffset: offsets } : {}) },
  };
}

/** One batch row as a problem of its own. */
function batchRowOf(problem: Problem, b: number): Problem {
  const { shape, options } = problem;
  return {
    shape: { ...shape, batch: 1 },
    query: slice(problem.query, 0, b, b + 1),
    key: slice(problem.key, 0, b, b + 1),
    value: slice(problem.value, 0, b, b + 1),
    options: {
      ...options,
      ...(options.causal ? { qOffset: offsetOf(options, b) } : {}),
      ...(options.kvLengths ? { kvLengths: [options.kvLengths[b]!] } : {}),
    },
  };
}

const rotated = (length: number, by: number) => Array.from({ length }, (_, n) => (n + by) % length);

/** The first key that no row of batch row `b` sees. */
function firstHidden({ shape, options }: Problem, b: number): number {
  const byLength = options.kvLengths?.[b] ?? shape.kvLen;
  const byPosition = options.causal ? offsetOf(options, b) + shape.qLen : shape.kvLen;
  return Math.max(0, Math.min(byLength, byPosition, shape.kvLen));
}

const laws: Law[] = [
  {
    name: "a row alone is that row in its batch",
    count: 60,
    holds(sketch, choice, { run, same }) {
      const problem = problemOf(sketch);
      const { batch, qLen } = problem.shape;
      if (qLen === 0) return;
      const whole = run(problem);
      const b = choice % batch;
      const i = choice % qLen;
      const one = rowsOf(batchRowOf(problem, b), i, i + 1);
      const ofBatch = part(whole, problem.shape, 0, b, b + 1);
      same(run(one), part(ofBatch, { ...problem.shape, batch: 1 }, 2, i, i + 1), one, `row ${i} of batch row ${b}`);
    },
  },
  {
    name: "a prefill in chunks is the whole prefill",
    count: 60,
    holds(sketch, choice, { run, same }) {
      const problem = problemOf(sketch);
      const { qLen } = problem.shape;
      const whole = run(problem);
      const step = 1 + (choice % 9);
      for (let from = 0; from < qLen; from += step) {
        const to = Math.min(qLen, from + step);
        const chunk = rowsOf(problem, from, to);
        same(run(chunk), part(whole, problem.shape, 2, from, to), chunk, `rows ${from} to ${to}`);
      }
    },
  },
  {
    name: "keys past a length or past the last position could as well be absent",
    count: 60,
    holds(sketch, _choice, { run, same }) {
      const problem = batchRowOf(problemOf(sketch), 0);
      const length = firstHidden(problem, 0);
      const { kvLengths: _dropped, ...options } = problem.options;
      const shorter: Problem = {
        ...problem,
        shape: { ...problem.shape, kvLen: length },
        key: slice(problem.key, 2, 0, length),
        value: slice(problem.value, 2, 0, length),
        options,
      };
      same(run(shorter), run(problem), shorter, `${length} keys`);
    },
  },
  {
    name: "permuted heads give permuted results",
    count: 40,
    holds(sketch, choice, { run }) {
      const problem = problemOf(sketch);
      const { shape } = problem;
      const group = shape.numHeads / shape.numKvHeads;
      const kvHeads = rotated(shape.numKvHeads, choice % shape.numKvHeads);
      const heads = kvHeads.flatMap((head) => Array.from({ length: group }, (_, n) => head * group + n));
      const permuted = run({
        ...problem,
        query: takeHeads(problem.query, heads),
        key: takeHeads(problem.key, kvHeads),
        value: takeHeads(problem.value, kvHeads),
      });
      const whole = run(problem);
      sameBits(permuted.out, takeHeads(outTensor(whole, shape), heads).data, "out");
      sameBits(permuted.lse, takeHeads(lseTensor(whole, shape), heads).data, "lse");
    },
  },
  {
    name: "grouped heads are repeated key and value heads",
    count: 40,
    holds(sketch, _choice, { run, same }) {
      const problem = problemOf(sketch);
      const { shape } = problem;
      const group = shape.numHeads / shape.numKvHeads;
      const heads = Array.from({ length: shape.numHeads }, (_, h) => Math.floor(h / group));
      const repeated: Problem = {
        ...problem,
        shape: { ...shape, numKvHeads: shape.numHeads },
        key: takeHeads(problem.key, heads),
        value: takeHeads(problem.value, heads),
      };
      same(run(repeated), run(problem), repeated, "repeated heads");
    },
  },
  {
    name: "NaN and Infinity in hidden keys and values never show",
    count: 80,
    holds(sketch, choice, { run, same }) {
      const problem = problemOf(sketch);
      const poisoned = problemOf(sketch);
      const bad = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY][choice % 3]!;
      for (const { data, shape } of [poisoned.key, poisoned.value]) {
        const [batch, heads, length, dim] = shape;
        for (let b = 0; b < batch; b++) {
          const from = firstHidden(problem, b);
          for (let h = 0; h < heads; h++) {
            const start = (b * heads + h) * length * dim;
            data.fill(bad, start + from * dim, start + length * dim);
          }
        }
      }
      same(run(poisoned), run(problem), problem, "poisoned");
    },
  },
  {
    name: "a value that is not finite shows in the rows that see it, and in no other",
    count: 60,
    holds(sketch, choice, { run, exact }) {
      const problem = problemOf({ ...sketch, options: { ...sketch.options, causal: true, qOffset: 0 } });
      const { batch, qLen, numHeads, numKvHeads, kvLen, valueHeadDim } = problem.shape;
      if (kvLen === 0) return;
      const bad = choice % kvLen;
      const poisoned = { ...problem, value: { ...problem.value, data: problem.value.data.slice() } };
      for (let head = 0; head < batch * numKvHeads; head++) {
        poisoned.value.data[(head * kvLen + bad) * valueHeadDim] = Number.NaN;
      }
      const expected = run(problem).out;
      const actual = run(poisoned).out;
      for (let row = 0; row < batch * numHeads * qLen; row++) {
        const length = problem.options.kvLengths?.[Math.floor(row / (qLen * numHeads))] ?? kvLen;
        const seen = bad < length && bad <= row % qLen;
        equal(Number.isNaN(actual[row * valueHeadDim]), seen, `row ${row}: NaN of key ${bad} shows`);
        if (!exact) continue;
        const from = row * valueHeadDim + (seen ? 1 : 0);
        const to = (row + 1) * valueHeadDim;
        sameBits(actual.subarray(from, to), expected.subarray(from, to), `row ${row}`);
      }
    },
  },
  {
    name: "values times a power of two give results times that power",
    count: 40,
    holds(sketch, choice, { run }) {
      const problem = problemOf(sketch);
      const power = 2 ** ((choice % 41) - 20);
      const scaled = { ...problem.value, data: problem.value.data.map((v) => v * power) };
      const actual = run({ ...problem, value: scaled });
      const expected = run(problem);
      sameBits(
        actual.out,
        expected.out.map((o) => o * power),
        "out",
      );
      sameBits(actual.lse, expected.lse, "lse");
    },
  },
  {
    name: "one visible key returns its value, -0 as +0",
    count: 40,
    holds(sketch, choice, { run }) {
      if (sketch.shape.kvLen === 0) return;
      const problem = problemOf({
        ...sketch,
        options: { causal: true, qOffset: 0, kvLengths: Array(sketch.shape.batch).fill(1) },
      });
      const { batch, numHeads, numKvHeads, qLen, kvLen, valueHeadDim } = problem.shape;
      if (choice % 2 === 0) problem.value.data.fill(-0);
      const { out } = run(problem);
      for (let row = 0; row < batch * numHeads * qLen; row++) {
        const head = Math.floor(row / qLen);
        const kvHead =
          Math.floor(head / numHeads) * numKvHeads + Math.floor((head % numHeads) / (numHeads / numKvHeads));
        const start = kvHead * kvLen * valueHeadDim;
        const value = problem.value.data.slice(start, start + valueHeadDim).map((v) => (v === 0 ? 0 : v));
        sameBits(out.subarray(row * valueHeadDim, (row + 1) * valueHeadDim), value, `row ${row}`);
      }
    },
  },
  {
    name: "rows without a visible key are +0 with an lse of -Infinity",
    count: 40,
    holds(sketch, choice, { run }) {
      const none = choice % 2 === 0;
      const hidden = none
        ? { kvLengths: Array(sketch.shape.batch).fill(0) }
        : { causal: true, qOffset: -sketch.shape.qLen };
      const problem = problemOf({ ...sketch, options: { ...sketch.options, ...hidden } }, "poison");
      const { out, lse } = run(problem);
      sameBits(out, new Float32Array(out.length), "out");
      sameBits(lse, new Float32Array(lse.length).fill(Number.NEGATIVE_INFINITY), "lse");
    },
  },
];

function lawCase(build: Build, law: Law): Case {
  return {
    name: `law ${build}: ${law.name}`,
    ...(build === "fast" ? { needs: "relaxedSimd" as const } : {}),
    async run(context: Context) {
      const engine: Engine = await context.engine(build);
      const { library } = context;
      const same: Check = (outcome, expected, problem, what) => {
        if (build === "strict") {
          sameBits(outcome.out, expected.out, `${what}: out`);
          sameBits(outcome.lse, expected.lse, `${what}: lse`);
          return;
        }
        for (const result of [outcome, expected]) {
          const { out, lse } = margins(result, inputsOf(problem), problem.shape, problem.options);
          ok(out < 1 && lse < 1, `${what}: outside the error bound (${out}, ${lse})`);
        }
      };
      const tools: Tools = { exact: build === "strict", run: (problem) => attend(problem, { library, engine }), same };
      fc.assert(
        fc.property(sketches(), fc.nat(1_000_000), (sketch, choice) => {
          law.holds(sketch, choice, tools);
        }),
        runs(context.long, law.count),
      );
    },
  };
}

export const lawCases: Case[] = laws.flatMap((law) => [lawCase("strict", law), lawCase("fast", law)]);
