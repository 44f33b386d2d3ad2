/** A call whose keys lie in several places gives the bits of the unsplit one. */
import { problemOf } from "../conformance/arbitrary.ts";
import { arrange, type Outcome, optionsOf, plain } from "../conformance/arrange.ts";
import { sameList } from "../conformance/harness.ts";
import { numbersOf, type Problem } from "../conformance/problem.ts";
import { type Law, lawCasesOf, type Tools } from "./law.ts";
import { range, takeOf } from "./slices.ts";

/** Runs each shard, encodes and decodes every second one, and merges them in another order. */
function sharded(problem: Problem, cuts: readonly number[], choice: number, { library, engine }: Tools): Outcome {
  const { batch, numHeads, qLen, kvLen, valueHeadDim } = problem.shape;
  const options = { ...optionsOf(problem, library, "plain", (view) => view), layout: "bhsd", kvTotal: kvLen, engine };
  const query = arrange(problem.query, plain(), problem.storage?.query);
  const bounds = [0, ...cuts, kvLen];
  const parts = range(0, bounds.length - 1).map((n) => {
    const keys = range(bounds[n]!, bounds[n + 1]!);
    const shard = (name: "key" | "value") => arrange(takeOf(problem[name], 2, keys), plain(), problem.storage?.[name]);
    const part = library.attentionPartial(query, shard("key"), shard("value"), {
      ...options,
      kvStart: bounds[n]!,
    } as never);
    return (choice + n) % 2 ? part : library.decodePartial(library.encodePartial(part));
  });
  const turned = parts.map((_, n) => parts[(n + choice) % parts.length]!);
  const { out, lse } = library.mergePartials(choice % 3 ? turned : turned.reverse(), { returnLse: true, engine });
  sameList(out.shape, [batch, numHeads, qLen, valueHeadDim], "out.shape");
  sameList(lse!.shape, [batch, numHeads, qLen], "lse.shape");
  return { out: numbersOf(out.data, "float32", "out"), lse: numbersOf(lse!.data, "float32", "lse") };
}

/** Up to three cuts, in order; some shards may be empty. */
const cutsOf = (choice: number, kvLen: number) =>
  range(0, choice % 4)
    .map((n) => ((choice >> 3) + n * 37) % (kvLen + 1))
    .sort((a, b) => a - b);

const laws: Law[] = [
  {
    name: "shards cut anywhere, merged in any order, are the unsplit call",
    count: 150,
    wild: true,
    holds(sketch, choice, tools) {
      const problem = problemOf(sketch, tools.exact && choice % 5 === 0 ? "poison" : "bell");
      const cuts = cutsOf(choice, problem.shape.kvLen);
      tools.same(sharded(problem, cuts, choice, tools), tools.run(problem), problem, `cut at ${cuts}`);
    },
  },
  {
    name: "shards see the documents of the whole call, each batch row its own",
    count: 30,
    holds(sketch, choice, tools) {
      const { mask: _m, rule: _r, ...rest } = sketch;
      const { batch, qLen, kvLen } = sketch.shape;
      const numbers = (length: number) => range(0, batch).map((b) => range(0, length).map((i) => (i + b) >> 2));
      const problem = problemOf({ ...rest, rule: { kind: "document", query: numbers(qLen), key: numbers(kvLen) } });
      const cuts = cutsOf(choice, kvLen);
      tools.same(sharded(problem, cuts, choice, tools), tools.run(problem), problem, `cut at ${cuts}`);
    },
  },
];

export const shardLaws = lawCasesOf(laws);
