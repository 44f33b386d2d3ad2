// An asynchronous twin gives what its function gives, to the bit and to the word, on one thread and on several.
import * as fc from "fast-check";
import * as saccade from "saccade";
import { describe, expect, it } from "vitest";
import { CALLS } from "../../ts/worker/functions.ts";
import { counted, type WorkerCase, workerCases } from "../worker/cases.ts";
import { drawnCalls } from "../worker/drawn.ts";
import { outcomeOf, same, sameOutcome } from "../worker/same.ts";
import { bothEngines, expectSame } from "./engines.ts";

type Callable = (...args: unknown[]) => unknown;
const named = new Map(Object.entries(saccade)) as ReadonlyMap<string, unknown>;
const directly = (name: string): Callable => named.get(name) as Callable;
const twinOf = (name: string): Callable | undefined => named.get(`${name}Async`) as Callable | undefined;
const twinCases = workerCases.filter(({ name }) => twinOf(name) !== undefined);

const engines = bothEngines();

/** The arguments with an engine among the options, wherever those can hold one. */
function on(engine: saccade.Engine, { name, args }: WorkerCase): unknown[] {
  const at = CALLS[name];
  const given = [...args(saccade)];
  const last = given.at(-1);
  const hasOptions = given.length > at && typeof last === "object" && last !== null && !("shape" in last);
  if (given.length === at) given.push({ engine });
  else if (hasOptions && !Array.isArray(last)) given[given.length - 1] = { ...last, engine };
  return given;
}

describe("asynchronous twins", () => {
  it("are those of the heavy functions, and each has a case", () => {
    const twins = [...named.keys()].filter((name) => name.endsWith("Async")).map((name) => name.slice(0, -5));
    expect(new Set(twinCases.map(({ name }) => name as string))).toEqual(new Set(twins));
    expect(twins).toContain("attention");
  });

  it.each(twinCases.map((each, index) => [`${each.name}, case ${index}`, each] as const))("%s", async (_, each) => {
    for (const engine of engines) {
      const call = (callable: Callable) => () => callable(...on(engine, each));
      await expectSame(engine, call(directly(each.name)), call(twinOf(each.name)!), each.name);
    }
  });

  it("any mixture of twins under way at once, with direct calls in between, disturbs nobody", async () => {
    const drawn = fc.array(fc.tuple(fc.constantFrom(...twinCases), fc.boolean()), { minLength: 1, maxLength: 10 });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(0, 1), drawn, async (which, cases) => {
        const engine = engines[which]!;
        const live = engine.stats().liveBytes;
        const pending = cases.map(([each, asynchronous]) => {
          const call = asynchronous ? twinOf(each.name)! : directly(each.name);
          return outcomeOf(() => call(...on(engine, each)));
        });
        for (const [index, [each]] of cases.entries()) {
          sameOutcome(
            await pending[index]!,
            await outcomeOf(() => directly(each.name)(...on(engine, each))),
            each.name,
          );
        }
        return engine.stats().liveBytes === live;
      }),
      { numRuns: 30 },
    );
  });

  it("attention of any shape, layout and options has the bits of the direct call", async () => {
    await fc.assert(
      fc.asyncProperty(drawnCalls, fc.constantFrom(0, 1), async (make, which) => {
        const [query, key, value, options] = make();
        const args = [query, key, value, { ...options, engine: engines[which]! }];
        const expected = await outcomeOf(() => directly("attention")(...args));
        sameOutcome(await outcomeOf(() => twinOf("attention")!(...args)), expected, "attention");
      }),
      { numRuns: 80 },
    );
  });

  it("packed sequences, with and without weights, have the bits of the direct call", async () => {
    const [q, kv] = [counted(70, 2, 8), counted(90, 1, 8)];
    const lengths = { cuQLens: [0, 3, 3, 70], cuKvLens: [0, 40, 41, 90] };
    const forms = [{}, { causal: true, qOffset: "bottom-right", returnLse: true }, { returnWeights: { topK: 3 } }];
    for (const form of [...forms, { returnWeights: { rows: [69, 0, 4] }, tap: "biased" }]) {
      for (const engine of engines) {
        const options = { ...lengths, ...form, engine } as never;
        same(await saccade.attentionAsync(q, kv, kv, options), saccade.attention(q, kv, kv, options), "packed");
      }
    }
  });

  it("resident tensors and targets: nothing is copied, and the target is the result", async () => {
    for (const engine of engines) {
      using x = saccade.Tensor.from(counted(1, 70, 2, 8), { engine });
      using out = saccade.Tensor.zeros([1, 70, 2, 8], "float32", { engine });
      const result = await saccade.attentionAsync(x, x, x, { causal: true, out, engine });
      expect(result.out).toBe(out);
      same(out.toPlain(), saccade.attention(x, x, x, { causal: true, engine }).out, "out");
    }
  });

  it.each([
    ["plain", {}],
    ["ring", { window: { left: 40, first: 4 } }],
    ["rotary", { rope: {} }],
    ["int8", { dtype: "int8" as const }],
  ])("a cache attends as it does directly: %s", async (_, options) => {
    for (const engine of engines) {
      const sizes = { batch: 2, numKvHeads: 1, headDim: 8, capacity: 256 };
      using cache = new saccade.KvCache({ ...sizes, ...options, engine });
      cache.append(counted(2, 150, 1, 8), counted(2, 150, 1, 8), { lengths: [150, 33] });
      const query = counted(2, 3, 2, 8);
      const asked = { returnLse: true, returnWeights: true } as const;
      same(await cache.attendAsync(query, asked), cache.attend(query, asked), "attend");
      const error = await outcomeOf(() => cache.attend(counted(2, 3, 2, 7)));
      sameOutcome(await outcomeOf(() => cache.attendAsync(counted(2, 3, 2, 7))), error, "attend");
    }
  });
});
