/** The references themselves, tried against records that neither of them made. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { hashOf } from "../vectors/hash.ts";
import { decodeOptions, isSupported, paintInputs, type VectorFile } from "../vectors/schema.ts";
import { attentionReference } from "./attention.mjs";
import { errorBound, largestMargin, margins } from "./bound.mjs";
import { contractAttention } from "./contract.mjs";
import { exp2, fromBits, tanh, toBits } from "./functions.mjs";

const file: VectorFile = JSON.parse(readFileSync(new URL("../data/contract/contract.json", import.meta.url), "utf8"));

const shape = { batch: 2, qLen: 5, kvLen: 70, numHeads: 4, numKvHeads: 2, headDim: 9, valueHeadDim: 6 };
const painted = paintInputs(shape, {
  query: { rule: "bell", seed: 11 },
  key: { rule: "bell", seed: 12 },
  value: { rule: "bell", seed: 13 },
});
const inputs = { query: painted.query.data, key: painted.key.data, value: painted.value.data };
const options = { causal: true, qOffset: [60, -2], kvLengths: [70, 66] };

describe("the contract in JavaScript", () => {
  it("gives the recorded bits of every stored vector, supported by the library or not", async () => {
    for (const vector of file.cases) {
      const { query, key, value } = paintInputs(vector.shape, vector.paint);
      const result = contractAttention(
        { query: query.data, key: key.data, value: value.data },
        vector.shape,
        decodeOptions(vector.options),
      );
      expect([vector.id, await hashOf(result.out)]).toEqual([vector.id, vector.out.sha256]);
      expect([vector.id, await hashOf(result.lse)]).toEqual([vector.id, vector.lse.sha256]);
    }
  });

  it("knows exp2 and tanh where their results are exact", () => {
    for (let n = 0; n <= 126; n++) expect(exp2(-n)).toBe(2 ** -n);
    expect(exp2(fromBits(toBits(-126) + 1))).toBe(0);
    expect(exp2(Number.NEGATIVE_INFINITY)).toBe(0);
    expect(tanh(-0)).toBe(-0);
    expect(tanh(Number.POSITIVE_INFINITY)).toBe(1);
    expect(tanh(-40)).toBe(-1);
    expect(tanh(Number.NaN)).toBeNaN();
  });
});

describe("the float64 reference", () => {
  it("agrees with the contract within the bound on every supported vector with finite inputs", () => {
    const finite = file.cases.filter(
      ({ options: used, paint, flags }) =>
        isSupported(used) && !flags.includes("edge") && Object.values(paint).every(({ rule }) => rule !== "poison"),
    );
    expect(finite.length).toBeGreaterThan(40);
    for (const vector of finite) {
      const { query, key, value } = paintInputs(vector.shape, vector.paint);
      const data = { query: query.data, key: key.data, value: value.data };
      const decoded = decodeOptions(vector.options);
      const found = margins(contractAttention(data, vector.shape, decoded), data, vector.shape, decoded);
      expect(Math.max(found.out, found.lse), vector.id).toBeLessThan(0.2);
    }
  });

  it("is the plain mean where all scores are equal", () => {
    const { out, lse, weights } = attentionReference(inputs, shape, { scale: 0 });
    expect(lse[0]).toBeCloseTo(Math.log(70), 12);
    expect(weights[3]).toBeCloseTo(1 / 70, 12);
    let mean = 0;
    for (let j = 0; j < 70; j++) mean += inputs.value[j * 6]! / 70;
    expect(out[0]).toBeCloseTo(mean, 12);
  });

  it("leaves rows without a visible key at 0 and -Infinity", () => {
    const { out, lse } = attentionReference(inputs, shape, options);
    // Batch row 1 has offset -2: its rows 0 and 1 see nothing.
    const row = 4 * 5;
    expect(lse[row]).toBe(Number.NEGATIVE_INFINITY);
    expect(lse[row + 2]).toBeGreaterThan(Number.NEGATIVE_INFINITY);
    expect(Array.from(out.slice(row * 6, (row + 2) * 6))).toEqual(new Array(12).fill(0));
  });
});

describe("the error bound", () => {
  const expected = attentionReference(inputs, shape, options);
  const bound = errorBound(inputs, shape, options);

  it("is a few times what float32 needs, and no more than a coarse tolerance", () => {
    const found = margins(contractAttention(inputs, shape, options), inputs, shape, options);
    expect(found.out).toBeGreaterThan(0.001);
    expect(found.out).toBeLessThan(0.2);
    expect(Math.max(...bound.out)).toBeLessThan(1e-3);
  });

  it("refuses an error just over it, a NaN and a lost infinity", () => {
    const at = bound.out.findIndex((b) => b > 0);
    const wrong = expected.out.slice();
    wrong[at]! += 1.01 * bound.out[at]!;
    expect(largestMargin(wrong, expected.out, bound.out)).toBeGreaterThan(1);
    wrong[at] = Number.NaN;
    expect(largestMargin(wrong, expected.out, bound.out)).toBe(Number.POSITIVE_INFINITY);
    const finite = expected.lse.map((lse) => (lse === Number.NEGATIVE_INFINITY ? -1e30 : lse));
    expect(largestMargin(finite, expected.lse, bound.lse)).toBe(Number.POSITIVE_INFINITY);
    expect(() => largestMargin(wrong.slice(1), expected.out, bound.out)).toThrow(RangeError);
  });

  it("refuses one product that was left out", () => {
    const spoilt = { ...inputs, value: inputs.value.slice() };
    spoilt.value[0]! += 2 ** -10;
    const found = margins(contractAttention(spoilt, shape, options), inputs, shape, options);
    expect(found.out).toBeGreaterThan(1);
  });
});
