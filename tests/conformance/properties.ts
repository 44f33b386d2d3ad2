/** Any shape and any option: the bits of the contract, and the error bound against float64. */
import * as fc from "fast-check";
import { attentionReference } from "../reference/attention.mjs";
import { expectedMargin, margins } from "../reference/bound.mjs";
import { chosenRows, contractAttention, headMean, topK } from "../reference/contract.mjs";
import { rounded } from "../reference/half.mjs";
import { anyShapes, arrangements, problemOf, runs, sketches, weightsForms } from "./arbitrary.ts";
import { arrange, attend, type Outcome, optionsOf, type WeightsForm } from "./arrange.ts";
import { type Build, type Case, type Context, equal, ok, sameBits, sameList } from "./harness.ts";
import { inputsOf, type Problem, storages } from "./problem.ts";

export function withinBound(outcome: Outcome, problem: Problem, context: Context, label: string): void {
  const found = margins(outcome, inputsOf(problem), problem.shape, problem.options);
  for (const name of ["out", "lse", "weights"] as const) {
    const sinks = problem.options.sinks !== undefined;
    context.record(`${label} ${name} margin${sinks ? " with sinks" : ""}`, found[name]);
    const expected = expectedMargin(problem.options)[name];
    ok(found[name] < expected, `${name}: error is ${found[name]} of its bound, over ${expected}`);
  }
}

function boundCase(build: Build): Case {
  return {
    name: `property ${build}: any shape and option stays within the error bound`,
    ...(build === "fast" ? { needs: "relaxedSimd" as const } : {}),
    async run(context) {
      const engine = await context.engine(build);
      fc.assert(
        fc.property(sketches(), (sketch) => {
          const problem = problemOf(sketch);
          // A result rounded to half a float says nothing about the arithmetic before.
          const run = { library: context.library, engine, weights: true, outDtype: "float32" } as const;
          withinBound(attend(problem, run), problem, context, build);
        }),
        runs(context.long, 150),
      );
    },
  };
}

/** A sketch with some shape and the arrangements that the shape allows. */
const arranged = () =>
  sketches({ finite: false, shape: anyShapes }).chain((sketch) =>
    fc.record({
      sketch: fc.constant(sketch),
      arrangement: arrangements(sketch.shape),
      weights: fc.option(weightsForms(sketch.shape), { nil: false as const }),
      tap: fc.option(fc.constantFrom("raw", "scaled", "capped", "biased" as const), { nil: undefined, freq: 2 }),
      outDtype: fc.option(fc.constantFrom(...storages), { nil: undefined, freq: 2 }),
    }),
  );

const defined = <T extends object>(record: T) =>
  Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };

function arrangementCase(build: Build): Case {
  return {
    name: `property ${build}: layouts, ranks, strides, offsets and resident tensors change no bit`,
    ...(build === "fast" ? { needs: "relaxedSimd" as const } : {}),
    async run(context) {
      const { library, long } = context;
      const engine = await context.engine(build);
      fc.assert(
        fc.property(arranged(), ({ sketch, arrangement, weights, tap, outDtype }) => {
          const problem = problemOf(sketch);
          const ask = { library, engine, weights, ...defined({ tap, outDtype }) };
          const expected = attend(problem, ask);
          const actual = attend(problem, { ...ask, arrangement });
          for (const name of ["out", "lse", "weights", "scores"] as const) {
            if (expected[name]) sameBits(actual[name]!, expected[name], name);
          }
          if (expected.indices) sameList(Array.from(actual.indices!), Array.from(expected.indices), "indices");
        }),
        runs(long, 150),
      );
    },
  };
}

/** What the contract says about weights, in the form asked for. */
function weightsAs(form: WeightsForm, problem: Problem, expected: ReturnType<typeof contractAttention>) {
  const { weights, seen, lse } = expected;
  if (form === true) return { values: weights! };
  if (form === "head-mean") return { values: headMean(weights!, problem.shape) };
  if ("rows" in form) return { values: chosenRows(weights!, problem.shape, form.rows) };
  return topK({ weights: weights!, seen: seen!, lse }, problem.shape, form.topK);
}

const contractCase: Case = {
  name: "property strict: any shape and option gives the bits of the contract",
  async run({ library, engine: engineOf, long }) {
    const engine = await engineOf("strict");
    fc.assert(
      fc.property(arranged(), fc.constantFrom("bell", "i8q5", "poison"), (drawn, rule) => {
        const { sketch, arrangement, weights, tap, outDtype } = drawn;
        const problem = problemOf(sketch, rule);
        const { shape, options, storage } = problem;
        const actual = attend(problem, { library, engine, arrangement, weights, ...defined({ tap, outDtype }) });
        const ask = { weights: weights !== false, ...defined({ tap }) };
        const expected = contractAttention(inputsOf(problem), shape, options, ask);
        const out = rounded(expected.out as Float32Array<ArrayBuffer>, outDtype ?? storage?.query ?? "float32");
        sameBits(actual.out, out, "out");
        sameBits(actual.lse, expected.lse, "lse");
        if (tap) sameBits(actual.scores!, expected.scores!, `scores (${tap})`);
        if (weights === false) return;
        const form = weightsAs(weights, problem, expected);
        sameBits(actual.weights!, form.values, `weights ${JSON.stringify(weights)}`);
        if ("indices" in form) sameList(Array.from(actual.indices!), Array.from(form.indices), "indices");
      }),
      runs(long, 500),
    );
  },
};

const weightsCase: Case = {
  name: "property strict: weights are 0 on hidden keys and sum to 1 over visible ones and the sink",
  async run({ library, engine: engineOf, long }) {
    const engine = await engineOf("strict");
    fc.assert(
      fc.property(sketches(), (sketch) => {
        const problem = problemOf(sketch);
        const { kvLen, numHeads, qLen } = problem.shape;
        const { weights } = attend(problem, { library, engine, weights: true });
        const reference = attentionReference(inputsOf(problem), problem.shape, problem.options);
        reference.lse.forEach((lse, row) => {
          const own = weights!.subarray(row * kvLen, (row + 1) * kvLen);
          own.forEach((w, j) => {
            if (reference.weights[row * kvLen + j] === 0) equal(w, 0, `row ${row}: weight of hidden key ${j}`);
          });
          if (lse === Number.NEGATIVE_INFINITY) return;
          const sink = problem.options.sinks?.[Math.floor(row / qLen) % numHeads] ?? Number.NEGATIVE_INFINITY;
          const sum = own.reduce((a, w) => a + w, Math.exp(sink - lse));
          ok(Math.abs(sum - 1) < 1e-5, `row ${row}: weights sum to ${sum}`);
        });
      }),
      runs(long, 60),
    );
  },
};

const outCase: Case = {
  name: "property strict: out takes a caller's buffer, strided or not, and writes its elements only",
  async run({ library, engine: engineOf, long }) {
    const engine = await engineOf("strict");
    fc.assert(
      fc.property(arranged(), ({ sketch, arrangement, outDtype = "float32" }) => {
        const problem = problemOf(sketch);
        const { batch, numHeads, qLen, valueHeadDim } = problem.shape;
        const expected = attend(problem, { library, engine, outDtype }).out as Float32Array<ArrayBuffer>;
        const empty = new Float32Array(expected.length).fill(7);
        const dims: [number, number, number, number] = [batch, numHeads, qLen, valueHeadDim];
        // `arrange` fills what lies between the elements with NaN, so the whole array is compared.
        const target = arrange({ data: empty, shape: dims }, arrangement, outDtype);
        const wanted = arrange({ data: expected, shape: dims }, arrangement, outDtype);
        const operand = (name: "query" | "key" | "value") =>
          arrange(problem[name], arrangement, problem.storage?.[name]);
        const result = library.attention(operand("query"), operand("key"), operand("value"), {
          ...optionsOf(problem, library, "plain", (view) => view),
          layout: arrangement.layout,
          outDtype,
          out: target,
          engine,
        } as never) as { out: unknown };
        sameList(Array.from(target.data, String), Array.from(wanted.data, String), "out and what lies between");
        ok(result.out === target, "result.out is not the caller's target");
      }),
      runs(long, 60),
    );
  },
};

const repeatCase: Case = {
  name: "property strict: two calls give the same bits and leave their inputs alone",
  async run({ library, engine: engineOf, long }) {
    const engine = await engineOf("strict");
    fc.assert(
      fc.property(sketches({ finite: false }), (sketch) => {
        const problem = problemOf({ ...sketch, storage: {} }, "poison");
        const untouched = problemOf({ ...sketch, storage: {} }, "poison");
        // The arrays themselves are given, not an arrangement of them.
        const options = { ...optionsOf(problem, library, "plain", (view) => view), layout: "bhsd", engine } as const;
        const call = () => {
          const { query, key, value } = problem;
          const { out } = library.attention(query, key, value, options as never) as { out: { data: Float32Array } };
          return out.data;
        };
        const first = call();
        sameBits(call(), first, "out of the second call");
        for (const name of ["query", "key", "value"] as const) {
          sameBits(problem[name].data, untouched[name].data, name);
        }
        const { bias, mask } = problem.options;
        if (bias) sameBits(bias.data, untouched.options.bias!.data, "bias");
        if (mask) sameList(Array.from(mask.data), Array.from(untouched.options.mask!.data), "mask");
      }),
      runs(long, 60),
    );
  },
};

export const propertyCases: Case[] = [
  contractCase,
  boundCase("strict"),
  boundCase("fast"),
  arrangementCase("strict"),
  arrangementCase("fast"),
  weightsCase,
  outCase,
  repeatCase,
];
