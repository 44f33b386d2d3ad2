// Cases on several threads: who is asked, and what their rows say.
import { createEngine, type Engine } from "saccade";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { attentionCase } from "../../bench/attention/cases.ts";
import type { AttentionSpec } from "../../bench/attention/spec.ts";
import { CASES } from "../../bench/cases.ts";
import { Limits } from "../../bench/limits.ts";
import { naive } from "../../bench/peers/naive.ts";
import { tableOf } from "../../bench/report/table.ts";
import { measurePair, type Pair } from "../../bench/roof/pair.mjs";
import type { Roof } from "../../bench/roof/roof.mjs";
import { impossible, rowsOf } from "../../bench/rows.ts";
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

  it("are set against one, and against what two threads give in the same round", async () => {
    const all = await asked(true);
    const peaks = { strictGflops: 100, fusedGflops: null, divGops: 5, expGops: 2 };
    const roof: Roof = { ...peaks, sweep: () => peaks, readGBps: () => 1e6 };
    // In the second of three rounds both threads had one core.
    const gains = [1.9, 1, 1.98];
    const sweeps = gains.map((times) => ({ ...peaks, strictGflops: 100 * times }));
    const pair: Pair = { sweep: () => sweeps.shift()!, readGBps: () => 1e6 };
    const works = all.map(({ of }) => of.work);
    const limits = new Limits(roof, works, pair, works);
    for (const _ of gains) limits.measure();
    const timings = all.filter(isSubject).map((_, i) => {
      const rounds = [
        [8, 8, 8],
        [4.2, 8, 4],
        [80, null, 80],
      ][i]!;
      const median = [8, 4.2, 80][i]!;
      return { median, p10: median, p90: median, calls: 1, rounds, disturbed: 0 };
    });
    const rows = rowsOf(all, timings, limits);
    expect(rows.map(({ threads, timesStrict }) => [threads, timesStrict])).toEqual([
      [1, 1],
      [2, 4.2 / 8],
      [1, 10],
    ]);
    expect(rows[0]).toMatchObject({ limit: "strict", disturbed: 0 });
    expect(rows[0]!.share).toBeGreaterThan(0);
    const alone = all[0]!.of.work.flops! / 100e6;
    expect(rows[1]).toMatchObject({ limit: "strict", disturbed: null });
    // Of 1.9, 1 and 1.98 times what one gives: the middle of the three rounds.
    const shares = gains.map((times, round) => alone / times / [4.2, 8, 4][round]!).toSorted((a, b) => a - b);
    expect(rows[1]!.share).toBeCloseTo(shares[1]!, 12);
    expect(rows[1]!.note).toBe(
      "two threads compute 1.90 times as much as one here, in the 2 of 3 rounds with 1.85 times or more, 1.94 times; " +
        "this case then ran 1.95 times as fast as on one thread",
    );
    expect(impossible([{ ...rows[1]!, share: 1.1 }])).toEqual([]);
    expect(impossible([{ ...rows[0]!, share: 1.1 }])).toHaveLength(1);
    const none = rowsOf(all, timings, new Limits(roof, works));
    expect(none[1]).toMatchObject({ limit: "", rate: null, share: null, note: "" });
    const table = tableOf(rows, []);
    expect(table).toMatch(/│ {3}strict +│ 8\.00 │[^│]*│ +│/);
    expect(table).toMatch(/strict, 2 threads +│ 4\.20 │[^│]*│ +0\.525 │/);
  });

  it("have a roof of their own, which both measure at once", async () => {
    const pair = (await measurePair())!;
    const { strictGflops, divGops, expGops } = pair.sweep(1);
    for (const rate of [strictGflops, divGops, expGops, pair.readGBps(1 << 20), pair.readGBps(1000)]) {
      expect(rate).toBeGreaterThan(0);
      expect(rate).toBeLessThan(1e5);
    }
  });

  it("are measured at a prefill, at a long cache, and at a call too small to share", () => {
    expect(CASES.filter(({ threaded }) => threaded).map(({ name }) => name)).toEqual([
      "prefill-8-64",
      "small-64",
      "cache-f32-128",
    ]);
  });
});
