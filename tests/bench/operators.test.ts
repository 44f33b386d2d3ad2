// Every operator that the bench times, once and unhurried: its result against its definition, and whether that would notice an error.
import { capabilities, createEngine } from "saccade";
import { describe, expect, it } from "vitest";
import { Limits } from "../../bench/limits.ts";
import { openUniforms } from "../../bench/operators/philox.ts";
import { GROUP, limitOf, OPERATOR_CASES, operatorsLike } from "../../bench/operators.ts";
import type { Roof } from "../../bench/roof/roof.mjs";

const BUILDS = capabilities().relaxedSimd ? (["strict", "fast"] as const) : (["strict"] as const);

describe("operators", () => {
  it.each(OPERATOR_CASES)("$name is its definition, to rounding", async ({ prepare }) => {
    const prepared = prepare();
    for (const build of BUILDS) {
      const engine = await createEngine({ build });
      const { call, result } = prepared.on(engine);
      call();
      const got = Array.from(result());
      expect(got.length).toBeGreaterThan(0);
      const margin = prepared.margin(got);
      // Something is compared, and rounding is not all that is allowed for.
      expect(margin).toBeLessThanOrEqual(1);
      expect(prepared.margin(got.map((x) => x * 1.001 + 0.001))).toBeGreaterThan(1);
      expect(prepared.margin(got.map(() => Number.NaN))).toBeNaN();
      expect(prepared.margin([])).toBeNaN();
      engine.dispose();
    }
  });

  it("have names of their own, and one for all", () => {
    expect(new Set(OPERATOR_CASES.map(({ name }) => name)).size).toBe(OPERATOR_CASES.length);
    expect(operatorsLike(GROUP)).toEqual(OPERATOR_CASES);
    expect(operatorsLike("rope").map(({ name }) => name)).toEqual(["rope-half", "rope-interleaved"]);
  });

  it("are set against the limit that binds them", () => {
    const peaks = { strictGflops: 40, fusedGflops: 60, divGops: 5, expGops: 2 };
    const roof: Roof = { ...peaks, sweep: () => peaks, readGBps: () => 20 };
    const limits = new Limits(roof, [], [1e6]);
    limits.measure();
    expect(limitOf({ flops: 4e7, bytes: 1e6 }, limits, "strict")).toEqual({ name: "strict", ms: 1 });
    expect(limitOf({ flops: 6e7 }, limits, "fast")).toEqual({ name: "fused", ms: 1 });
    expect(limitOf({ flops: 1, bytes: 1e6, passes: 4 }, limits, "strict")).toEqual({ name: "read", ms: 0.2 });
    expect(limitOf({ exponentials: 2e6, divisions: 2e6 }, limits, "strict")).toEqual({ name: "exp", ms: 1 });
    expect(limitOf({ exponentials: 3e6 }, limits, "fast")).toEqual({ name: "exp", ms: 1 });
    expect(limitOf({ divisions: 5e6 }, limits, "fast")).toEqual({ name: "division", ms: 1 });
  });

  it("draw by the published vectors of Philox", () => {
    // Counter and key 0, of Random123's known answers.
    const words = [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8];
    expect(openUniforms(0, 0, 0, 4)).toEqual(words.map((word) => (word + 0.5) / 2 ** 32));
  });
});
