/**
 * A law: what follows from the numeric contract for any problem. In the fast build, whose bits may depend on the path
 * taken, laws that cut the work into other tiles are held to the error bound instead.
 */
import * as fc from "fast-check";
import { runs, type Sketch, sketches } from "../conformance/arbitrary.ts";
import { attend, type Outcome, type Run } from "../conformance/arrange.ts";
import { type Build, type Case, type Engine, type Library, ok, sameBits } from "../conformance/harness.ts";
import { inputsOf, type Problem } from "../conformance/problem.ts";
import { margins } from "../reference/bound.mjs";

export type Check = (outcome: Outcome, expected: Outcome, problem: Problem, what: string) => void;

export interface Tools {
  exact: boolean;
  library: Library;
  engine: Engine;
  run(problem: Problem, options?: Omit<Run, "library" | "engine">): Outcome;
  /** Same bits in the strict build, within the error bound in the fast one. */
  same: Check;
}

export interface Law {
  name: string;
  count: number;
  /** Values in bias and sinks that a float64 reference cannot follow, in the strict build, whose bits are compared. */
  wild?: boolean;
  holds(sketch: Sketch, choice: number, tools: Tools): void;
}

/** Any two results, bit for bit. */
export function sameOutcome(actual: Outcome, expected: Outcome, what: string): void {
  sameBits(actual.out, expected.out, `${what}: out`);
  sameBits(actual.lse, expected.lse, `${what}: lse`);
}

const sameWithinBound: Check = (outcome, expected, problem, what) => {
  try {
    sameOutcome(outcome, expected, what);
  } catch (difference) {
    for (const result of [outcome, expected]) {
      const { out, lse } = margins(result, inputsOf(problem), problem.shape, problem.options);
      ok(out < 1 && lse < 1, `outside the error bound (${out}, ${lse}); ${(difference as Error).message}`);
    }
  }
};

function lawCase(build: Build, law: Law): Case {
  return {
    name: `law ${build}: ${law.name}`,
    ...(build === "fast" ? { needs: "relaxedSimd" as const } : {}),
    async run({ library, engine: engineOf, long }) {
      const engine = await engineOf(build);
      const tools: Tools = {
        exact: build === "strict",
        library,
        engine,
        // Results as float32, whatever the query is stored as: a rounding would hide differences.
        run: (problem, options = {}) => attend(problem, { outDtype: "float32", ...options, library, engine }),
        same: build === "strict" ? (a, b, _, what) => sameOutcome(a, b, what) : sameWithinBound,
      };
      fc.assert(
        fc.property(sketches({ finite: !(law.wild && build === "strict") }), fc.nat(1_000_000), (sketch, choice) => {
          law.holds(sketch, choice, tools);
        }),
        runs(long, law.count),
      );
    },
  };
}

export const lawCasesOf = (laws: readonly Law[]): Case[] =>
  laws.flatMap((law) => [lawCase("strict", law), lawCase("fast", law)]);
