/** How vectors are painted, hashed and stored: known answers, computed by hand or elsewhere. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { hashOf } from "./hash.ts";
import { f32FromHex, f32ToHex, f64FromHex, f64ToHex, mix, paint, paintMask, word } from "./paint.ts";
import type { VectorFile } from "./schema.ts";

describe("painting", () => {
  it("mixes words as MurmurHash3's finaliser does", () => {
    expect(mix(0)).toBe(0);
    expect(mix(1)).toBe(0x514e28b7);
    expect(mix(0xffffffff)).toBe(0x81f16f39);
    expect(word(1, 0)).toBe(mix(0x9e3779b9));
    // Products and sums wrap at 2^32.
    expect(word(0xffffffff, 5)).toBe(mix((5 - 0x9e3779b9) >>> 0));
  });

  it("gives exact float32 values in the stated ranges", () => {
    for (const rule of ["bell", "i8q5"] as const) {
      const values = paint({ rule, seed: 7 }, 20_000);
      const step = rule === "bell" ? 2 ** 15 : 2 ** 5;
      expect(values.every((v) => v >= -4 && v < 4 && Number.isInteger(v * step))).toBe(true);
    }
    const bell = paint({ rule: "bell", seed: 7 }, 100_000);
    const mean = bell.reduce((a, v) => a + v, 0) / bell.length;
    const deviation = Math.sqrt(bell.reduce((a, v) => a + (v - mean) ** 2, 0) / bell.length);
    expect(Math.abs(mean)).toBeLessThan(0.02);
    expect(deviation).toBeCloseTo(1.155, 2);
  });

  it("applies a gain last: to poison too, and 0 times it is NaN", () => {
    const poison = paint({ rule: "poison", seed: 3 }, 4096);
    const scaled = paint({ rule: "poison", seed: 3, gain: "41800000" }, 4096);
    const zero = paint({ rule: "poison", seed: 3, gain: "00000000" }, 4096);
    const bad = Array.from(poison).filter((v) => !Number.isFinite(v));
    expect(bad.length).toBeGreaterThan(20);
    expect(new Set(bad.map(String))).toEqual(new Set(["NaN", "Infinity", "-Infinity"]));
    poison.forEach((v, i) => {
      expect(scaled[i]).toBe(v * 16);
      expect(Math.abs(zero[i]!)).toBe(Number.isFinite(v) ? 0 : Number.NaN);
    });
  });

  it("paints masks from never to always", () => {
    expect(paintMask({ keep: 0, seed: 1 }, 1000).some(Boolean)).toBe(false);
    expect(paintMask({ keep: 256, seed: 1 }, 1000).every(Boolean)).toBe(true);
    const half = paintMask({ keep: 128, seed: 1 }, 10_000).reduce((a, v) => a + v, 0);
    expect(Math.abs(half - 5000)).toBeLessThan(250);
  });

  it("reads and writes hex bits", () => {
    expect(f32FromHex("3fb504f3")).toBe(Math.fround(Math.SQRT2));
    expect(f32ToHex(-0)).toBe("80000000");
    expect(f32ToHex(f32FromHex("ffc12345"))).toBe("7fc00000");
    expect(f64FromHex("3fe62e42fefa39ef")).toBe(Math.LN2);
    expect(f64ToHex(-0.125)).toBe("bfc0000000000000");
  });
});

describe("hashing", () => {
  it("is SHA-256 of little-endian bytes", async () => {
    // SHA-256 of no byte, and of 00 00 80 3f.
    expect(await hashOf(new Float32Array(0))).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect(await hashOf(Float32Array.of(1))).toBe("e00e5eb9444182f352323374ef4e08ebcb784725fdd4fd612d7730540b3e0c8c");
  });

  it("takes every NaN as one, and tells -0 from +0", async () => {
    const payload = new Float32Array(Uint32Array.of(0xffc12345).buffer);
    expect(await hashOf(payload)).toBe(await hashOf(Float32Array.of(Number.NaN)));
    expect(await hashOf(Float32Array.of(-0))).not.toBe(await hashOf(Float32Array.of(0)));
  });
});

describe("the vector file", () => {
  const file: VectorFile = JSON.parse(readFileSync(new URL("../data/contract/contract.json", import.meta.url), "utf8"));

  it("has the stated schema: explicit offsets, hex for every float, a note for every flag", () => {
    expect(file).toMatchObject({ schema: 1, profile: "saccade-attn-f32-v1", level: "L2" });
    expect(new Set(file.cases.map(({ id }) => id)).size).toBe(file.cases.length);
    for (const { id, flags, options, paint: rules, out, lse } of file.cases) {
      expect(Number.isInteger(options.qOffset), id).toBe(true);
      expect(
        flags.every((flag) => file.notes[flag]),
        id,
      ).toBe(true);
      for (const { gain } of Object.values(rules)) expect(gain, id).toMatch(/^[0-9a-f]{8}$/);
      for (const digest of [out, lse]) {
        expect(digest.sha256, id).toMatch(/^[0-9a-f]{64}$/);
        expect(digest.first.length, id).toBe(digest.last.length);
      }
    }
  });
});
