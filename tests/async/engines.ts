/** Engines of one thread and of two, and what a call comes to on both. */
import * as saccade from "saccade";
import { afterAll, beforeAll, expect } from "vitest";
import { outcomeOf, sameOutcome } from "../worker/same.ts";

/** Two engines for the tests of a file, there while they run. */
export function bothEngines(): readonly saccade.Engine[] {
  const engines: saccade.Engine[] = [];
  beforeAll(async () => {
    engines.push(await saccade.createEngine(), await saccade.createEngine({ threads: 2 }));
  });
  afterAll(() => {
    for (const engine of engines) engine.dispose();
  });
  return engines;
}

/** A twin comes to what its function comes to, and leaves nothing behind. */
export async function expectSame(
  engine: saccade.Engine,
  direct: () => unknown,
  twin: () => unknown,
  what: string,
): Promise<void> {
  const live = engine.stats().liveBytes;
  const expected = await outcomeOf(direct);
  sameOutcome(await outcomeOf(twin), expected, what);
  expect(engine.stats().liveBytes).toBe(live);
}
