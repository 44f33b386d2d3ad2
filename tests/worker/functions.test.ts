// A worker answers every function of the main entry that uses an engine, in the same words and the same bits.
import * as fc from "fast-check";
import * as saccade from "saccade";
import { createWorkerEngine, type WorkerEngine } from "saccade/worker";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CALLS } from "../../ts/worker/functions.ts";
import { type FunctionName, type WorkerCase, workerCases } from "./cases.ts";
import { drawnCalls } from "./drawn.ts";
import { outcomeOf, sameOutcome } from "./same.ts";

/** Every function is answered: the compiler says so. */
type Missing = Exclude<FunctionName, keyof WorkerEngine>;
const missing: Missing[] = [];

let remote: WorkerEngine;
beforeAll(async () => {
  remote = await createWorkerEngine();
});
afterAll(() => remote.dispose());

type Callable = (...args: unknown[]) => unknown;
const direct = new Map(Object.entries(saccade)) as ReadonlyMap<string, unknown>;
const directly = (name: FunctionName): Callable => direct.get(name) as Callable;
const remotely = (name: FunctionName): Callable => remote[name] as unknown as Callable;

async function compare({ name, args }: WorkerCase): Promise<void> {
  const expected = await outcomeOf(() => directly(name)(...args(saccade)));
  const actual = await outcomeOf(() => remotely(name)(...args(saccade)));
  sameOutcome(actual, expected, name);
}

describe("the functions of a worker", () => {
  it("are all that use an engine, and each has a case", () => {
    expect(missing).toEqual([]);
    const functions = Object.keys(CALLS).filter((name) => name in saccade && name !== "KvCache");
    expect(new Set(workerCases.map(({ name }) => name))).toEqual(new Set(functions));
  });

  it.each(workerCases.map((each, index) => [`${each.name}, case ${index}`, each] as const))("%s", (_, each) =>
    compare(each),
  );

  it("any mixture of calls, all under way at once, gives the bits and the refusals of direct calls", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...workerCases), { minLength: 1, maxLength: 12 }), async (cases) => {
        const pending = cases.map(({ name, args }) => outcomeOf(() => remotely(name)(...args(saccade))));
        const order: number[] = [];
        pending.forEach((outcome, index) => void outcome.then(() => order.push(index)));
        for (const [index, { name, args }] of cases.entries()) {
          sameOutcome(await pending[index]!, await outcomeOf(() => directly(name)(...args(saccade))), name);
        }
        return order.length === cases.length;
      }),
      { numRuns: 30 },
    );
  });

  it("attention of any shape, layout and options has the bits of the direct call", async () => {
    await fc.assert(
      fc.asyncProperty(drawnCalls, fc.boolean(), async (make, transfer) => {
        const expected = await outcomeOf(() => directly("attention")(...make()));
        const [query, key, value, options] = make();
        const actual = await outcomeOf(() => remotely("attention")(query, key, value, { ...options, transfer }));
        sameOutcome(actual, expected, "attention");
      }),
      { numRuns: 80 },
    );
  });
});
