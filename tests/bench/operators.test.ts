// Every operator that the bench times, once and unhurried: its result against its definition, and whether that would notice an error.
import { capabilities, createEngine } from "saccade";
import { describe, expect, it } from "vitest";
import { OPERATOR_CASES } from "../../bench/cases.ts";
import { openUniforms } from "../../bench/operators/philox.ts";

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

  it("draw by the published vectors of Philox", () => {
    // Counter and key 0, of Random123's known answers.
    const words = [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8];
    expect(openUniforms(0, 0, 0, 4)).toEqual(words.map((word) => (word + 0.5) / 2 ** 32));
  });
});
