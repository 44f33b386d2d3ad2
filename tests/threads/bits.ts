/** Runs the tables on some number of threads and compares every byte with one thread. Knows no test runner. */
import { outcomeOf, sameOutcome } from "../worker/same.ts";
import type { Engine, Packages, ThreadCase } from "./case.ts";
import { layerCases, visionCases } from "./layers.ts";
import { mainCases } from "./table.ts";
import { watch } from "./watch.ts";

/** Every case there is. */
export const tableCases: readonly ThreadCase[] = [...mainCases, ...layerCases, ...visionCases];

/** What a case is called in reports. */
export const titleOf = ({ name, what }: ThreadCase): string => (what === undefined ? name : `${name}: ${what}`);

/** What a case came to: that of the function, then that of its twin. */
async function resultsOf(each: ThreadCase, packages: Packages, engine: Engine): Promise<unknown[]> {
  const results = [];
  for await (const result of each.run(packages, engine)) results.push(result);
  return results;
}

/** Results on one thread, computed once. */
export type Expected = Map<ThreadCase, unknown[]>;

export async function expectedOf(packages: Packages, one: Engine): Promise<Expected> {
  const expected: Expected = new Map();
  for (const each of tableCases) expected.set(each, await resultsOf(each, packages, one));
  return expected;
}

/** Compares a case on an engine with threads; gives the jobs that were handed out. */
export async function compare(
  each: ThreadCase,
  packages: Packages,
  engine: Engine,
  expected: Expected,
): Promise<string[]> {
  const watched = watch(packages.saccade, engine);
  try {
    const actual = await outcomeOf(() => resultsOf(each, packages, engine));
    sameOutcome(actual, { value: expected.get(each) }, titleOf(each));
    return watched.take();
  } finally {
    watched.end();
  }
}
