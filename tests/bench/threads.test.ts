// Cases on several threads: who is asked, and what their rows say.
import { createEngine, type Engine } from "saccade";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { attentionCase } from "../../bench/attention/cases.ts";
import type { AttentionSpec } from "../../bench/attention/spec.ts";
import { CASES } from "../../bench/cases.ts";
import { Limits } from "../../bench/limits.ts";
import { naive } from "../../bench/peers/naive.ts";
import { tableOf } from "../../bench/report/table.ts";
import type { Roof } from "../../bench/roof/roof.mjs";
import { rowsOf } from "../../bench/rows.ts";
import { attempts, isSubject } from "../../bench/subjects.ts";

const SPEC: AttentionSpec = {
  ...{ layout: "bhsd", batch: 1, numHeads: 8, numKvHeads: 8, qLen: 256, kvLen: 256 },
  ...{ headDim: 64, valueHeadDim: 64, causal: false },
};

let [one, two]: Engine[] = [];
beforeAll(async () => {
  one = await createEngine({ build: "strict" });
  two = await createEngine({ build: "strict", threads: 2 });
});
afterAll(() => {
  one?.dispose();
  two?.dispose();
});

const asked = (threaded: boolean) =>
  attempts(
    attentionCase({ ...SPEC, name: "case", words: "in words", ...(threaded && { threaded }) }),
    [["strict", one!]],
    [naive],
    two,
  );

describe("several threads", () => {
  it("are asked where a case wants them, and their results checked", async () => {
    const all = await asked(true);
    expect(all.map(({ by, threads }) => [by, threads])).toEqual([
      ["strict", 1],
      ["strict", 2],
      ["naive loop", 1],
    ]);
    for (const { margin } of all) expect(margin).toBeLessThan(0.5);
    expect((await asked(false)).map(({ by, threads }) => [by, threads])).toEqual([
      ["strict", 1],
      ["naive loop", 1],
    ]);
  });

  it("are set against one, and have no share of the limits, which are those of one", async () => {
    const all = await asked(true);
    const peaks = { strictGflops: 1e6, fusedGflops: null, divGops: 5, expGops: 2 };
    const roof: Roof = { ...peaks, sweep: () => peaks, readGBps: () => 1e6 };
    const limits = new Limits(
      roof,
      all.map(({ of }) => of.work),
    );
    limits.measure();
    const timings = all.filter(isSubject).map((_, i) => {
      const median = [8, 5, 80][i]!;
      return { median, p10: median, p90: median, calls: 1, disturbed: 0 };
    });
    const rows = rowsOf(all, timings, limits);
    expect(rows.map(({ threads, timesStrict }) => [threads, timesStrict])).toEqual([
      [1, 1],
      [2, 5 / 8],
      [1, 10],
    ]);
    expect(rows[0]).toMatchObject({ limit: "strict", disturbed: 0 });
    expect(rows[0]!.share).toBeGreaterThan(0);
    expect(rows[1]).toMatchObject({ limit: "", rate: null, share: null, disturbed: null });
    const table = tableOf(rows, []);
    expect(table).toMatch(/│ {3}strict +│ 8\.00 │[^│]*│ +│/);
    expect(table).toMatch(/strict, 2 threads +│ 5\.00 │[^│]*│ +0\.625 │/);
  });

  it("are measured at a prefill, at a long cache, and at a call too small to share", () => {
    expect(CASES.filter(({ threaded }) => threaded).map(({ name }) => name)).toEqual([
      "prefill-8-64",
      "small-64",
      "cache-f32-128",
    ]);
  });
});
