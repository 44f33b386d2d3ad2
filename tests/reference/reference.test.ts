/** The references themselves, tried against records that neither of them made. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { hashOf } from "../vectors/hash.ts";
import { decodeOptions, paintInputs, type VectorFile } from "../vectors/schema.ts";
import { attentionReference } from "./attention.mjs";
import { errorBound, expectedMargin, largestMargin, margins } from "./bound.mjs";
import { contractAttention } from "./contract.mjs";
import { exp2, fromBits, tanh, toBits } from "./functions.mjs";
import { decode, encode } from "./half.mjs";
import { elementAt, type Rule, sees } from "./rules.mjs";

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
  it("gives the recorded bits of every stored vector", async () => {
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
  it("agrees with the contract within the bound on every vector with finite inputs", () => {
    const wild = ["edge", "score-inf", "poison-shown", "biaspoison"];
    const finite = file.cases.filter(
      ({ options: used, paint, flags }) =>
        !wild.some((flag) => flags.includes(flag)) &&
        [...Object.values(paint), ...(used.bias ? [used.bias] : [])].every(({ rule }) => rule !== "poison"),
    );
    expect(finite.length).toBe(78);
    for (const vector of finite) {
      const { query, key, value } = paintInputs(vector.shape, vector.paint);
      const data = { query: query.data, key: key.data, value: value.data };
      const decoded = decodeOptions(vector.options);
      const found = margins(contractAttention(data, vector.shape, decoded), data, vector.shape, decoded);
      const expected = expectedMargin(decoded);
      expect(found.out, vector.id).toBeLessThan(expected.out);
      expect(found.lse, vector.id).toBeLessThan(expected.lse);
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

describe("half floats", () => {
  const words = Array.from({ length: 65536 }, (_, bits) => bits);

  it("come back from their own values, all 65,536 of either kind", () => {
    for (const storage of ["float16", "bfloat16"] as const) {
      const values = decode(Uint16Array.from(words), storage);
      const numbers = words.filter((bits) => !Number.isNaN(values[bits]));
      expect(numbers.length).toBe(65536 - (storage === "float16" ? 2 * 1023 : 2 * 127));
      expect(
        Array.from(
          encode(
            Float32Array.from(numbers, (bits) => values[bits]!),
            storage,
          ),
        ),
      ).toEqual(numbers);
    }
  });

  it("round to the nearest, ties to even, over every seam", () => {
    for (const storage of ["float16", "bfloat16"] as const) {
      const infinity = storage === "float16" ? 0x7c00 : 0x7f80;
      for (let bits = 0; bits + 1 < infinity; bits++) {
        const [low, high] = decode([bits, bits + 1], storage) as unknown as [number, number];
        // Exact: neighbours have the same exponent or differ by one, and float32 has bits to spare.
        const middle = (low + high) / 2;
        const [under, over] = [Math.fround(middle * (1 - 2 ** -23)), Math.fround(middle * (1 + 2 ** -23))];
        const even = bits % 2 === 0 ? bits : bits + 1;
        const found = encode([middle, -middle, ...(middle < 1e-37 ? [] : [under, over])], storage);
        const expected = [even, even | 0x8000, ...(middle < 1e-37 ? [] : [bits, bits + 1])];
        if (`${Array.from(found)}` !== `${expected}`) expect([bits, ...found]).toEqual([bits, ...expected]);
      }
    }
    expect(Array.from(encode([65519, 65520, Number.NaN, -Infinity], "float16"))).toEqual([
      0x7bff, 0x7c00, 0x7e00, 0xfc00,
    ]);
    expect(Array.from(encode([3.4028234663852886e38, Number.NaN], "bfloat16"))).toEqual([0x7f80, 0x7fc0]);
  });
});

describe("rules", () => {
  const picture = (rule: Rule, b = 0, h = 0) =>
    [0, 1, 2, 3].map((i) => [0, 1, 2, 3, 4].map((j) => (sees(rule, b, h, i, j) ? "#" : ".")).join("")).join(" ");

  it("are drawn as they read", () => {
    expect(picture({ kind: "causal", offset: 1 })).toBe("##... ###.. ####. #####");
    expect(picture({ kind: "window", left: 1, right: 0, offset: 0 })).toBe("#.... ##... .##.. ..##.");
    expect(picture({ kind: "prefixLm", lengths: [1, 3], offset: 0 }, 1)).toBe("###.. ###.. ###.. ####.");
    expect(picture({ kind: "document", query: [[0, 0, 1, 2]], key: [[0, 0, 0, 1, 1]] })).toBe(
      "###.. ###.. ...## .....",
    );
    expect(picture({ kind: "dilated", step: 2, offset: 1 })).toBe(".#.#. #.#.# .#.#. #.#.#");
    expect(picture({ kind: "global", query: [2], key: [0] })).toBe("#.... #.... ##### #....");
    expect(picture({ kind: "stored", data: Uint8Array.of(1, 0, 0, 1, 0), shape: [1, 5] })).toBe(
      "#..#. #..#. #..#. #..#.",
    );
    const [causal, first]: Rule[] = [
      { kind: "causal", offset: 0 },
      { kind: "global", query: [], key: [0] },
    ];
    expect(picture({ kind: "and", of: [causal!, { kind: "not", of: [first!] }] })).toBe("..... .#... .##.. .###.");
    expect(picture({ kind: "or", of: [{ kind: "not", of: [causal!] }, first!] })).toBe("##### #.### #..## #...#");
  });

  it("broadcast tensors as numpy does", () => {
    const data = [1, 2, 3];
    expect(elementAt({ data, shape: [3] }, [1, 1, 1, 2])).toBe(3);
    expect(elementAt({ data, shape: [3, 1, 1] }, [5, 1, 4, 2])).toBe(2);
    expect(elementAt({ data, shape: [1, 1, 3, 1] }, [0, 7, 2, 9])).toBe(3);
    expect(elementAt({ data: [1, 2, 3, 4, 5, 6], shape: [2, 1, 3] }, [0, 1, 8, 1])).toBe(5);
  });
});
