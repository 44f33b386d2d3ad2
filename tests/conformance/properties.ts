/** Any shape and any option: the bits of the contract, and the error bound against float64. */
import * as fc from "fast-check";
import { attentionReference } from "../reference/attention.mjs";
import { margins } from "../reference/bound.mjs";
import { contractAttention } from "../reference/contract.mjs";
import { arrangements, problemOf, runs, sketches } from "./arbitrary.ts";
import { arrange, attend, inputsOf, type Outcome, type Problem } from "./arrange.ts";
import { type Build, type Case, type Context, equal, ok, sameBits } from "./harness.ts";

/**
 * The margin |error| / bound that results are expected to keep; 1 is where the bound itself ends. 0.2 is the numeric
 * contract's own word about out. The bounds of lse and weights are parts of that one, in which the rounding of the
 * result weighs more.
 */
const EXPECTED_MARGIN = { out: 0.2, lse: 0.5, weights: 0.5 };

export function withinBound(outcome: Outcome, problem: Problem, context: Context, label: string): void {
  const found = margins(outcome, inputsOf(problem), problem.shape, problem.options);
  for (const name of ["out", "lse", "weights"] as const) {
    context.record(`${label} ${name} margin`, found[name]);
    const expected = EXPECTED_MARGIN[name];
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
          const outcome = attend(problem, { library: context.library, engine, weights: true });
          withinBound(outcome, problem, context, build);
        }),
        runs(context.long, 150),
      );
    },
  };
}

function arrangementCase(build: Build): Case {
  return {
    name: `property ${build}: layouts, ranks, strides, offsets and resident tensors change no bit`,
    ...(build === "fast" ? { needs: "relaxedSimd" as const } : {}),
    async run(context) {
      const { library, long } = context;
      const engine = await context.engine(build);
      const anyArrangement = sketches().chain((sketch) =>
        fc.record({ sketch: fc.constant(sketch), arrangement: arrangements(sketch.shape) }),
      );
      fc.assert(
        fc.property(anyArrangement, ({ sketch, arrangement }) => {
          const problem = problemOf(sketch);
          const expected = attend(problem, { library, engine, weights: true });
          const actual = attend(problem, { library, engine, arrangement, weights: true });
          sameBits(actual.out, expected.out, "out");
          sameBits(actual.lse, expected.lse, "lse");
          sameBits(actual.weights!, expected.weights!, "weights");
        }),
        runs(long, 150),
      );
    },
  };
}

const contractCase: Case = {
  name: "property strict: any shape and option gives the bits of the contract",
  async run({ library, engine: engineOf, long }) {
    const engine = await engineOf("strict");
    fc.assert(
      fc.property(sketches(), fc.constantFrom("bell", "i8q5", "poison"), (sketch, rule) => {
        const problem = problemOf(sketch, rule);
        const actual = attend(problem, { library, engine });
        const expected = contractAttention(inputsOf(problem), problem.shape, problem.options);
        sameBits(actual.out, expected.out, "out");
        sameBits(actual.lse, expected.lse, "lse");
      }),
      runs(long, 200),
    );
  },
};

const weightsCase: Case = {
  name: "property strict: weights are 0 on hidden keys and sum to 1 over visible ones",
  async run({ library, engine: engineOf, long }) {
    const engine = await engineOf("strict");
    fc.assert(
      fc.property(sketches(), (sketch) => {
        const problem = problemOf(sketch);
        const { kvLen } = problem.shape;
        const { weights } = attend(problem, { library, engine, weights: true });
        const reference = attentionReference(inputsOf(problem), problem.shape, problem.options);
        reference.lse.forEach((lse, row) => {
          const own = weights!.subarray(row * kvLen, (row + 1) * kvLen);
          own.forEach((w, j) => {
            if (reference.weights[row * kvLen + j] === 0) equal(w, 0, `row ${row}: weight of hidden key ${j}`);
          });
          if (lse === Number.NEGATIVE_INFINITY) return;
          const sum = own.reduce((a, w) => a + w, 0);
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
    const anyArrangement = sketches().chain((sketch) =>
      fc.record({ sketch: fc.constant(sketch), arrangement: arrangements(sketch.shape) }),
    );
    fc.assert(
      fc.property(anyArrangement, ({ sketch, arrangement }) => {
        const problem = problemOf(sketch);
        const { batch, numHeads, qLen, valueHeadDim } = problem.shape;
        const expected = attend(problem, { library, engine }).out;
        const empty = new Float32Array(expected.length).fill(7);
        const dims: [number, number, number, number] = [batch, numHeads, qLen, valueHeadDim];
        // `arrange` fills what lies between the elements with NaN, so the whole array is compared.
        const target = arrange({ data: empty, shape: dims }, arrangement);
        const wanted = arrange({ data: expected, shape: dims }, arrangement);
        const [query, key, value] = [problem.query, problem.key, problem.value].map((t) => arrange(t, arrangement));
        const result = library.attention(query!, key!, value!, {
          ...problem.options,
          layout: arrangement.layout,
          out: target,
          engine,
        });
        sameBits(target.data, wanted.data, "out and what lies between");
        ok(result.out.data === target.data, "result.out is not the caller's buffer");
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
      fc.property(sketches(), (sketch) => {
        const problem = problemOf(sketch, "poison");
        const copies = inputsOf(problemOf(sketch, "poison"));
        // The arrays themselves are given, not an arrangement of them.
        const call = () => {
          const { query, key, value, options } = problem;
          const { out } = library.attention(query, key, value, { ...options, layout: "bhsd", engine });
          return out.data as Float32Array;
        };
        const first = call();
        sameBits(call(), first, "out of the second call");
        sameBits(problem.query.data, copies.query, "query");
        sameBits(problem.key.data, copies.key, "key");
        sameBits(problem.value.data, copies.value, "value");
      }),
      runs(long, 40),
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
