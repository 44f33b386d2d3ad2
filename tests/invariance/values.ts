/** What is hidden never shows, what is visible shows where it must; values, storage and the forms of weights. */
import { problemOf, type Sketch } from "../conformance/arbitrary.ts";
import { arrange, optionsOf, plain, type WeightsForm } from "../conformance/arrange.ts";
import { equal, sameBits, sameList, throws } from "../conformance/harness.ts";
import { type Problem, type ProblemOptions, storages } from "../conformance/problem.ts";
import { chosenRows, headMean, topK } from "../reference/contract.mjs";
import { rounded } from "../reference/half.mjs";
import { type Law, lawCasesOf, sameOutcome, type Tools } from "./law.ts";
import { biasAt, biasFrom, maskFrom, visibilityOf } from "./slices.ts";

const BAD = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

/** Copies of key and value to write into. */
function writable(problem: Problem): Problem {
  const copy = (tensor: Problem["key"]) => ({ ...tensor, data: tensor.data.slice() });
  return { ...problem, key: copy(problem.key), value: copy(problem.value) };
}

/** Fills the row of one key. */
function fillRow({ data, shape }: Problem["key"], b: number, head: number, j: number, value: number): void {
  const [, heads, length, dim] = shape;
  const from = ((b * heads + head) * length + j) * dim;
  data.fill(value, from, from + dim);
}

/** Calls `visit` for every key of every key head, with the query heads that read it. */
function eachKey({ shape }: Problem, visit: (b: number, kvHead: number, heads: number[], j: number) => void): void {
  const { batch, numHeads, numKvHeads, kvLen } = shape;
  const group = numHeads / numKvHeads;
  for (let b = 0; b < batch; b++) {
    for (let kvHead = 0; kvHead < numKvHeads; kvHead++) {
      const heads = Array.from({ length: group }, (_, n) => kvHead * group + n);
      for (let j = 0; j < kvLen; j++) visit(b, kvHead, heads, j);
    }
  }
}

/** A key of some head is poisoned: which rows it reaches, and what they show. */
function onePoisonedKey(sketch: Sketch, choice: number, tools: Tools, what: "key" | "value"): void {
  const clean = problemOf(sketch);
  const { batch, numHeads, qLen, kvLen, valueHeadDim } = clean.shape;
  if (kvLen === 0) return;
  const bad = choice % kvLen;
  const poisoned = writable(clean);
  eachKey(clean, (b, kvHead, _heads, j) => {
    if (j === bad) fillRow(poisoned[what], b, kvHead, j, Number.NaN);
  });
  const expected = tools.run(clean);
  const actual = tools.run(poisoned);
  const visible = visibilityOf(clean);
  for (let row = 0; row < batch * numHeads * qLen; row++) {
    const [b, h, i] = [Math.floor(row / (qLen * numHeads)), Math.floor(row / qLen) % numHeads, row % qLen];
    const seen = visible(b, h, i, bad) as boolean;
    const own = actual.out.subarray(row * valueHeadDim, (row + 1) * valueHeadDim);
    if (seen) {
      equal(own.every(Number.isNaN), true, `row ${row} sees key ${bad}: all of it is NaN`);
      if (what === "key") equal(actual.lse[row], Number.NaN, `row ${row} sees key ${bad}: lse`);
    } else if (tools.exact) {
      sameBits(own, expected.out.subarray(row * valueHeadDim, (row + 1) * valueHeadDim), `row ${row}`);
    } else {
      equal(own.some(Number.isNaN), false, `row ${row} does not see key ${bad}: a NaN shows`);
    }
    if (tools.exact && !(seen && what === "key")) {
      sameBits(actual.lse.subarray(row, row + 1), expected.lse.subarray(row, row + 1), `lse of row ${row}`);
    }
  }
}

const laws: Law[] = [
  {
    name: "NaN and Infinity in keys and values that no row sees never show",
    count: 80,
    holds(sketch, choice, { run, same }) {
      const clean = problemOf(sketch);
      const poisoned = writable(clean);
      const visible = visibilityOf(clean);
      const rows = Array.from({ length: clean.shape.qLen }, (_, i) => i);
      eachKey(clean, (b, kvHead, heads, j) => {
        if (rows.some((i) => heads.some((h) => visible(b, h, i, j)))) return;
        fillRow(poisoned.key, b, kvHead, j, BAD[(choice + j) % 3]!);
        fillRow(poisoned.value, b, kvHead, j, BAD[(choice + j + 1) % 3]!);
      });
      same(run(poisoned), run(clean), clean, "poisoned");
    },
  },
  {
    name: "a NaN in a key makes the rows NaN that see it, and no other",
    count: 50,
    holds: (sketch, choice, tools) => onePoisonedKey(sketch, choice, tools, "key"),
  },
  {
    name: "a NaN in a value shows in the rows that see it, and in no other",
    count: 50,
    holds: (sketch, choice, tools) => onePoisonedKey(sketch, choice, tools, "value"),
  },
  {
    name: "one element of a value that is not finite shows in its own column only",
    count: 40,
    holds(sketch, choice, { run, exact }) {
      const clean = problemOf(sketch);
      const { kvLen, valueHeadDim } = clean.shape;
      if (kvLen === 0) return;
      const poisoned = writable(clean);
      const column = choice % valueHeadDim;
      poisoned.value.data.forEach((_, n) => {
        if (n % valueHeadDim !== column || Math.floor(n / valueHeadDim) % kvLen !== choice % kvLen) return;
        poisoned.value.data[n] = BAD[choice % 3]!;
      });
      const expected = run(clean);
      const actual = run(poisoned);
      actual.out.forEach((o, n) => {
        if (n % valueHeadDim === column) actual.out[n] = expected.out[n]!;
        else equal(Number.isNaN(o), false, `a NaN shows at ${n}`);
      });
      if (exact) sameOutcome(actual, expected, "other columns");
    },
  },
  {
    name: "poison in a bias under a mask never shows",
    count: 50,
    holds(sketch, choice, { run, same }) {
      const problem = problemOf(sketch);
      const { bias: _bias, ...others } = problem.options;
      const visible = visibilityOf({ ...problem, options: others });
      const at = biasAt(problem);
      const bias = biasFrom(problem.shape, (...index) => at(...index));
      const poisoned = biasFrom(problem.shape, (b, h, i, j) =>
        visible(b, h, i, j) ? at(b, h, i, j) : BAD[(choice + i + j) % 3]!,
      );
      const clean: Problem = { ...problem, options: { ...others, bias } };
      same(run({ ...clean, options: { ...others, bias: poisoned } }), run(clean), clean, "poisoned");
    },
  },
  {
    name: "values times a power of two give results times that power",
    count: 40,
    holds(sketch, choice, { run }) {
      // A sink far above all scores, as ALiBi can have it, leaves results that are subnormal.
      const { sinks: _sinks, ...options } = sketch.options;
      const problem = problemOf({ ...sketch, options, storage: {} });
      const power = 2 ** ((choice % 41) - 20);
      const value = { ...problem.value, data: problem.value.data.map((v) => v * power) };
      const expected = run(problem);
      const scaled = { ...expected, out: expected.out.map((o) => o * power) };
      sameOutcome(run({ ...problem, value }), scaled, `times ${power}`);
    },
  },
  {
    name: "one visible key returns its value, -0 as +0",
    count: 50,
    holds(sketch, choice, { run }) {
      const { batch, numHeads, numKvHeads, qLen, kvLen, valueHeadDim } = sketch.shape;
      if (kvLen === 0) return;
      const { scale, softcap, qOffset, alibiSlopes } = sketch.options;
      const options = { scale, softcap, qOffset, alibiSlopes };
      const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
      const { mask: _m, rule: _r, ...rest } = sketch;
      const problem = writable(problemOf({ ...rest, options: given }));
      const keyOf = (h: number, i: number) => (choice + 7 * i + 3 * h) % kvLen;
      const only = maskFrom(problem.shape, (_b, h, i, j) => j === keyOf(h, i));
      if (problem.options.bias) {
        const at = biasAt(problem);
        problem.options.bias = biasFrom(problem.shape, (...index) => Math.max(-1e30, at(...index)));
      }
      if (choice % 4 === 0) problem.value.data.fill(-0);
      const storage = problem.storage ?? {};
      const { out } = run({
        ...problem,
        storage: { ...storage, query: "float32", bias: "float32" },
        options: { ...problem.options, mask: only },
      });
      for (let row = 0; row < batch * numHeads * qLen; row++) {
        const h = Math.floor(row / qLen) % numHeads;
        const kvHead = Math.floor(row / (qLen * numHeads)) * numKvHeads + Math.floor(h / (numHeads / numKvHeads));
        const from = (kvHead * kvLen + keyOf(h, row % qLen)) * valueHeadDim;
        const value = problem.value.data.slice(from, from + valueHeadDim).map((v) => (v === 0 ? 0 : v));
        sameBits(out.subarray(row * valueHeadDim, (row + 1) * valueHeadDim), value, `row ${row}`);
      }
    },
  },
  {
    name: "rows without a visible key are +0 with an lse of -Infinity or the sink",
    count: 50,
    holds(sketch, choice, { run }) {
      const { shape } = sketch;
      const ways: ProblemOptions[] = [
        { kvLengths: Array(shape.batch).fill(0) },
        { causal: true, qOffset: -shape.qLen },
        { window: { left: 0, right: 0 }, qOffset: shape.kvLen + 1 },
        { mask: { data: Uint8Array.of(0), shape: [1] } },
        { bias: { data: Float32Array.of(Number.NEGATIVE_INFINITY), shape: [1, 1] } },
        { rule: { kind: "not", of: [{ kind: "window", offset: 0 }] } },
        { rule: { kind: "document", query: [Array(shape.qLen).fill(1)], key: [Array(shape.kvLen).fill(2)] } },
        { qLengths: Array(shape.batch).fill(0) },
      ];
      const way = choice % ways.length;
      const problem = problemOf(sketch, "poison");
      const { mask: _m, rule: _r, ...options } = problem.options;
      const { out, lse } = run({ ...problem, options: { ...options, ...ways[way]! } });
      sameBits(out, new Float32Array(out.length), `way ${way}: out`);
      const sinks = way === ways.length - 1 ? undefined : options.sinks;
      const expected = lse.map((_, row) => {
        const [b, h, i] = [
          Math.floor(row / (shape.qLen * shape.numHeads)),
          Math.floor(row / shape.qLen) % shape.numHeads,
          row % shape.qLen,
        ];
        const padded = i >= (options.qLengths?.[b] ?? shape.qLen);
        const sink = padded ? undefined : sinks?.[h];
        // The state of a sink is its base-2 logit, rounded; lse brings it back and rounds again.
        return sink === undefined ? Number.NEGATIVE_INFINITY : Math.fround(Math.fround(sink * Math.LOG2E) * Math.LN2);
      });
      sameBits(lse, expected, `way ${way}: lse`);
    },
  },
  {
    name: "onEmptyRow throws exactly where a row inside qLengths sees neither key nor sink",
    count: 60,
    holds(sketch, _choice, { library, engine }) {
      const problem = problemOf(sketch);
      const { batch, numHeads, qLen, kvLen } = problem.shape;
      const { qLengths, sinks } = problem.options;
      const visible = visibilityOf(problem);
      const rows = Array.from({ length: batch * numHeads * qLen }, (_, row) => row);
      const keys = Array.from({ length: kvLen }, (_, j) => j);
      const empty = rows.find((row) => {
        const [b, h, i] = [Math.floor(row / (qLen * numHeads)), Math.floor(row / qLen) % numHeads, row % qLen];
        const sink = sinks?.[h] ?? Number.NEGATIVE_INFINITY;
        if (i >= (qLengths?.[b] ?? qLen) || sink !== Number.NEGATIVE_INFINITY) return false;
        return !keys.some((j) => visible(b, h, i, j));
      });
      const options = { ...optionsOf(problem, library, "plain", (view) => view), onEmptyRow: "throw", engine };
      const operand = (name: "query" | "key" | "value") => arrange(problem[name], plain(), problem.storage?.[name]);
      const call = () =>
        library.attention(operand("query"), operand("key"), operand("value"), { ...options, layout: "bhsd" } as never);
      if (empty === undefined) call();
      else throws(call, RangeError, "ERR_SACCADE_EMPTY_ROW", `row ${empty} sees nothing`);
    },
  },
  {
    name: "half floats are the float32 values they stand for, and results are rounded once",
    count: 50,
    holds(sketch, choice, { run, same }) {
      const problem = problemOf(sketch);
      const wide: Problem = { ...problem, storage: {} };
      const outDtype = storages[choice % 3]!;
      const expected = run(wide);
      same(run(problem, { outDtype: "float32" }), expected, problem, "float32 out");
      const narrow = run(wide, { outDtype });
      sameBits(narrow.out, rounded(expected.out as Float32Array<ArrayBuffer>, outDtype), outDtype);
      sameBits(narrow.lse, expected.lse, "lse");
    },
  },
  {
    name: "every form of weights is made of the full ones, and changes nothing else",
    count: 60,
    wild: true,
    holds(sketch, choice, { run, exact }) {
      const problem = problemOf(sketch);
      const { shape } = problem;
      const full = run(problem, { weights: true });
      const all = full.weights!;
      sameOutcome(run(problem), full, "without weights");
      const rows = Array.from({ length: Math.min(3, shape.qLen) }, (_, n) => (choice + 5 * n) % shape.qLen);
      const k = 1 + (choice % 7);
      const forms: WeightsForm[] = ["head-mean", { rows: [...new Set(rows)] }, { topK: k }];
      const [mean, chosen, best] = forms.map((weights) => run(problem, { weights }));
      sameBits(mean!.weights!, headMean(all, shape), "head-mean");
      sameBits(chosen!.weights!, chosenRows(all, shape, [...new Set(rows)]), "rows");
      for (const other of [mean!, chosen!, best!]) sameOutcome(other, full, "out beside weights");
      // A key is visible or its weight is 0; by bits only the strict build says which scores are -Infinity.
      const visible = visibilityOf(problem);
      const seen = maskFrom(shape, visible).data;
      const expected = topK({ weights: all, seen, lse: full.lse }, shape, k);
      sameBits(best!.weights!, expected.values, "values of the top k");
      if (exact) sameList(Array.from(best!.indices!), Array.from(expected.indices), "indices of the top k");
    },
  },
];

export const valueLaws = lawCasesOf(laws);
