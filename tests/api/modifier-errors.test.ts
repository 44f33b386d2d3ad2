// Masks, biases, lists and packed sequences that attention() must refuse, by example.
import { attention, BitMask, Tensor } from "saccade";
import { describe, it } from "vitest";
import { counted, expectRefusal, withEngine } from "./refusal.ts";

const q = counted(2, 3, 4, 8);
const k = counted(2, 5, 2, 8);
const v = counted(2, 5, 2, 6);
/** Past the types: what JavaScript callers can do. */
const call = attention as (...args: unknown[]) => unknown;

type Case = readonly [what: string, options: unknown, code: string, message: string | RegExp];

function refuses(cases: readonly Case[], tensors: readonly unknown[] = [q, k, v]): void {
  it.each(cases)("%s", (_, options, code, message) => expectRefusal(() => call(...tensors, options), code, message));
}

const bytes = (...shape: number[]) => ({ data: new Uint8Array(shape.reduce((a, b) => a * b, 1)), shape });

describe("mask and bias", () => {
  refuses([
    ["no tensor", { mask: true }, "ARGUMENT", "attention: mask is true; expected a Tensor or { data, shape }"],
    ["an array", { mask: [[true]] }, "ARGUMENT", /^attention: mask is a plain array; expected a Tensor/],
    [
      "a float mask",
      { mask: counted(3, 5) },
      "DTYPE",
      /^attention: mask is float32; expected bool.*are options\.bias$/,
    ],
    [
      "an int mask",
      { mask: { data: new Int32Array(5), shape: [5] } },
      "DTYPE",
      /expected bool or uint8 \(a Uint8Array/,
    ],
    ["a bool bias", { bias: bytes(3, 5) }, "DTYPE", /^attention: bias is uint8; expected float32, float16 or bfloat16/],
    ["rank 0", { mask: bytes() }, "SHAPE", /^attention: mask\.shape has 0 axes; expected 1 to 4/],
    ["rank 5", { bias: counted(1, 1, 1, 1, 5) }, "SHAPE", /bias\.shape has 5 axes; .* to \[2, 4, 3, 5\]$/],
    [
      "another kvLen",
      { mask: bytes(3, 4) },
      "SHAPE",
      "attention: mask.shape[1] (kvLen) is 4; expected 5 or 1, to broadcast to [batch, numHeads, qLen, kvLen], which is " +
        "[2, 4, 3, 5]",
    ],
    ["kv heads", { mask: bytes(2, 3, 5) }, "SHAPE", /mask\.shape\[0\] \(numHeads\) is 2; expected 4 or 1/],
    ["another batch", { bias: counted(3, 1, 1, 5) }, "SHAPE", /bias\.shape\[0\] \(batch\) is 3; expected 2 or 1/],
    ["too little data", { mask: { data: new Uint8Array(4), shape: [5] } }, "SHAPE", /mask\.data holds 4 elements/],
    ["strides", { mask: { ...bytes(3, 5), strides: [5, 2] } }, "STRIDE", /mask\.strides\[1\] is 2; the last axis must/],
  ]);

  it("out that overlaps them", async () => {
    const x = counted(2, 4);
    const memory = new ArrayBuffer(64);
    const out = { data: new Float32Array(memory, 0, 8), shape: [2, 4] };
    const mask = { data: new Uint8Array(memory, 31, 4), shape: [2, 2] };
    const bias = { data: new Float32Array(memory, 28, 4), shape: [2, 2] };
    await expectRefusal(() => attention(x, x, x, { out, mask }), "OVERLAP", /^attention: out shares memory with mask/);
    await expectRefusal(() => attention(x, x, x, { out, bias }), "OVERLAP", /^attention: out shares memory with bias/);
  });

  it("of another engine, disposed, detached", () =>
    withEngine({}, async (engine) => {
      const x = counted(2, 4);
      const foreign = Tensor.from(bytes(2, 2), { engine });
      await expectRefusal(() => attention(x, x, x, { mask: foreign }), "FOREIGN", /^attention: mask is a Tensor of/);
      foreign.dispose();
      await expectRefusal(() => attention(x, x, x, { mask: foreign }), "DISPOSED", /^attention: mask cannot be used/);
      const gone = bytes(2, 2);
      structuredClone(gone.data.buffer, { transfer: [gone.data.buffer] });
      await expectRefusal(() => attention(x, x, x, { mask: gone }), "DETACHED", /^attention: mask\.data lies over/);
    }));
});

describe("numbers and lists", () => {
  refuses([
    ["softcap 0", { softcap: 0 }, "RANGE", "attention: options.softcap is 0; expected a finite number above 0"],
    ["softcap -1", { softcap: -1 }, "RANGE", /options\.softcap is -1/],
    [
      "softcap Infinity",
      { softcap: 1 / 0 },
      "RANGE",
      "attention: options.softcap is Infinity; expected a finite number",
    ],
    ["softcap text", { softcap: "30" }, "ARGUMENT", 'attention: options.softcap is "30"; expected a finite number'],
    ["window 3", { window: 3 }, "ARGUMENT", "attention: options.window is 3; expected { left?, right?, first? }"],
    ["window list", { window: [1, 2] }, "ARGUMENT", /options\.window is an array/],
    [
      "window typo",
      { window: { lift: 1 } },
      "OPTION",
      /^attention: options\.window: there is no option "lift"; did you/,
    ],
    ["window -1", { window: { left: -1 } }, "RANGE", /options\.window\.left is -1; expected an integer from 0 to/],
    ["window Infinity", { window: { right: 1 / 0 } }, "RANGE", /options\.window\.right is Infinity; expected an/],
    ["window first", { window: { first: "2" } }, "ARGUMENT", /options\.window\.first is "2"; expected an integer/],
    [
      "sinks, kv heads",
      { sinks: [1, 2] },
      "SHAPE",
      "attention: options.sinks has 2 entries; expected 4 numbers, one per query head",
    ],
    [
      "sinks, one number",
      { sinks: 1 },
      "ARGUMENT",
      "attention: options.sinks is 1; expected 4 numbers, one per query head",
    ],
    ["sinks in words", { sinks: [1, 2, 3, "4"] }, "ARGUMENT", /options\.sinks\[3\] is "4"; expected a number/],
    ["sinks of any length", { sinks: { length: 2 ** 52 } }, "SHAPE", /options\.sinks has 4503599627370496 entries/],
    ["slopes", { qOffset: 0, alibiSlopes: [1] }, "SHAPE", /alibiSlopes has 1 entries; expected "auto" or 4 numbers/],
    ["slopes word", { alibiSlopes: "paper" }, "OPTION", 'attention: options.alibiSlopes is "paper"; expected "auto"'],
    ["slope NaN", { qOffset: 0, alibiSlopes: [1, 2, 0 / 0, 4] }, "RANGE", /alibiSlopes\[2\] is NaN as a float32/],
    ["slope 1e39", { qOffset: 0, alibiSlopes: [1e39, 2, 3, 4] }, "RANGE", /alibiSlopes\[0\] is Infinity as a float32/],
    [
      "qLengths",
      { qLengths: [3, 4] },
      "RANGE",
      "attention: options.qLengths[1] is 4; expected at most qLen, which is 3",
    ],
    [
      "qLengths, one",
      { qLengths: [3] },
      "SHAPE",
      /options\.qLengths has 1 entries; expected 2 integers, one per batch/,
    ],
    ["tap", { tap: "softmaxed" }, "OPTION", /options\.tap is "softmaxed"; expected "raw" or "scaled" or "capped" or/],
    ["tap true", { tap: true }, "ARGUMENT", /options\.tap is true/],
    ["outDtype", { outDtype: "int32" }, "OPTION", /options\.outDtype is "int32"; expected "float32" or "float16"/],
  ]);
});

describe("qOffset is asked for where positions matter", () => {
  const asks = (what: string): RegExp =>
    new RegExp(`^attention: ${what} with qLen 3 and kvLen 5 needs options\\.qOffset, the position of query row 0`);
  refuses([
    ["causal", { causal: true }, "OPTION", asks("causal")],
    ["window", { window: { left: 2 } }, "OPTION", asks("window")],
    ["ALiBi", { alibiSlopes: "auto" }, "OPTION", asks("alibiSlopes")],
    ["a BitMask", { mask: BitMask.causal() }, "OPTION", asks("mask \\(a BitMask without a qOffset of its own\\)")],
  ]);
});

describe("results", () => {
  const out = counted(2, 3, 4, 6);
  const top = { values: counted(2, 4, 3, 2), indices: { data: new Int32Array(48), shape: [2, 4, 3, 2] } };
  refuses([
    [
      "weights word",
      { returnWeights: "mean" },
      "OPTION",
      /returnWeights is "mean"; expected true, false, "head-mean",/,
    ],
    ["weights null", { returnWeights: null }, "ARGUMENT", /returnWeights is null; expected true/],
    ["weights {}", { returnWeights: {} }, "OPTION", /options\.returnWeights has neither rows nor topK; expected true/],
    ["both", { returnWeights: { rows: [], topK: 1 } }, "OPTION", /options\.returnWeights has rows and topK/],
    ["topk", { returnWeights: { topk: 3 } }, "OPTION", /returnWeights: there is no option "topk"; did you mean "topK"/],
    [
      "topK 0",
      { returnWeights: { topK: 0 } },
      "RANGE",
      /options\.returnWeights\.topK is 0; expected an integer from 1/,
    ],
    [
      "rows",
      { returnWeights: { rows: [0, 3] } },
      "RANGE",
      /returnWeights\.rows\[1\] is 3; expected an integer from 0 to 2/,
    ],
    [
      "rows twice",
      { returnWeights: { rows: [2, 2] } },
      "RANGE",
      /rows\[1\] is 2, which options\.returnWeights\.rows\[0\] is/,
    ],
    [
      "rows too many",
      { returnWeights: { rows: [0, 1, 2, 0] } },
      "SHAPE",
      /rows has 4 entries; expected different query rows/,
    ],
    ["scores untapped", { out: { out, scores: out } }, "OPTION", /out\.scores is given, but options\.tap is not given/],
    [
      "one target of two",
      { returnWeights: { topK: 2 }, out: { out, weights: top.values } },
      "OPTION",
      /needs \{ values, ind/,
    ],
    [
      "two targets of one",
      { returnWeights: true, out: { out, weights: top } },
      "OPTION",
      /which only returnWeights \{ topK/,
    ],
    [
      "indices that are floats",
      { returnWeights: { topK: 2 }, out: { out, weights: { ...top, indices: top.values } } },
      "DTYPE",
      "attention: out.weights.indices is float32; expected int32",
    ],
    ["a typo", { returnWeights: { topK: 2 }, out: { out, weights: { ...top, indexes: 1 } } }, "OPTION", /"indices"\?/],
    [
      "top-k of another size",
      { returnWeights: { topK: 3 }, out: { out, weights: top } },
      "SHAPE",
      "attention: out.weights.values.shape is [2, 4, 3, 2]; expected [2, 4, 3, 3]",
    ],
    [
      "values are indices",
      { returnWeights: { topK: 2 }, out: { out: top.values, weights: top } },
      "SHAPE",
      /^attention: out\.out/,
    ],
    [
      "out of another dtype",
      { out, outDtype: "float16" },
      "DTYPE",
      "attention: out is float32; expected float16, as options.outDtype says",
    ],
    [
      "out of another dtype than the query",
      { out: { data: new Uint16Array(144), shape: [2, 3, 4, 6], dtype: "bfloat16" } },
      "DTYPE",
      "attention: out is bfloat16; expected float32, as the query is (options.outDtype can say otherwise)",
    ],
  ]);

  it("two targets over the same bytes", () => {
    const values = new Float32Array(48);
    const weights = {
      values: { data: values, shape: [2, 4, 3, 2] },
      indices: { data: new Int32Array(values.buffer), shape: [2, 4, 3, 2] },
    };
    return expectRefusal(
      () => attention(q, k, v, { returnWeights: { topK: 2 }, out: { out, weights } }),
      "OVERLAP",
      /^attention: out\.weights\.values shares memory with out\.weights\.indices/,
    );
  });
});

describe("packed sequences", () => {
  const packed = [counted(7, 4, 8), counted(9, 2, 8), counted(9, 2, 6)];
  const cu = { cuQLens: [0, 3, 7], cuKvLens: [0, 4, 9] };
  refuses(
    [
      ["one alone", { cuQLens: [0, 7] }, "OPTION", /options\.cuQLens is given without options\.cuKvLens; packed/],
      ["the other alone", { cuKvLens: [0, 9] }, "OPTION", /options\.cuKvLens is given without options\.cuQLens/],
      ["no entries", { ...cu, cuQLens: [] }, "SHAPE", /options\.cuQLens has no entries; expected one more than there/],
      ["from 1", { ...cu, cuQLens: [1, 3, 7] }, "RANGE", "attention: options.cuQLens[0] is 1; expected 0"],
      [
        "down",
        { ...cu, cuKvLens: [0, 4, 3, 9] },
        "RANGE",
        /cuKvLens\[2\] is 3; expected at least 4, the entry before it/,
      ],
      [
        "too short",
        { ...cu, cuQLens: [0, 3, 6] },
        "RANGE",
        "attention: options.cuQLens[2] is 6; expected 7, the rows of query",
      ],
      [
        "too far",
        { ...cu, cuKvLens: [0, 4, 10] },
        "RANGE",
        /options\.cuKvLens\[2\] is 10; expected 9, the rows of key/,
      ],
      [
        "other counts",
        { ...cu, cuKvLens: [0, 9] },
        "SHAPE",
        /cuKvLens has 2 entries, options\.cuQLens has 3; expected the/,
      ],
      ["fractions", { ...cu, cuQLens: [0, 3.5, 7] }, "RANGE", /options\.cuQLens\[1\] is 3\.5; expected an integer/],
      ["no list", { ...cu, cuQLens: 7 }, "ARGUMENT", /options\.cuQLens is 7; expected an array of integers/],
      [
        "mask",
        { ...cu, mask: bytes(7, 9) },
        "SHAPE",
        "attention: mask.shape[0] (maxQ) is 7; expected 4 or 1, to broadcast to [sequences, numHeads, maxQ, maxKv], which " +
          "is [2, 4, 4, 5]",
      ],
      ["bias", { ...cu, bias: counted(3, 4, 4, 5) }, "SHAPE", /bias\.shape\[0\] \(sequences\) is 3; expected 2 or 1/],
      [
        "prefix",
        { ...cu, mask: BitMask.prefixLm({ lengths: [1, 2, 3], qOffset: 0 }) },
        "SHAPE",
        "attention: mask does not fit the call: BitMask.prefixLm: lengths is given for 3 sequences; there are 2",
      ],
      [
        "documents",
        { ...cu, mask: BitMask.document({ query: [1, 1, 2, 2], key: [1, 1, 2, 2] }) },
        "SHAPE",
        "attention: mask does not fit the call: BitMask.document: key has 4 numbers; maxKv is 5",
      ],
      [
        "global",
        { ...cu, mask: BitMask.global({ query: [4] }) },
        "RANGE",
        /BitMask\.global: query\[0\] is 4; maxQ is 4/,
      ],
      [
        "bits",
        { ...cu, mask: BitMask.fromTensor(bytes(4, 4)) },
        "SHAPE",
        /BitMask\.fromTensor: its bits are \[1, 1, 4, 4\]; maxKv is 5/,
      ],
      [
        "kvLengths",
        { ...cu, kvLengths: [5, 5] },
        "RANGE",
        "attention: options.kvLengths[0] is 5; expected at most 4, the keys of sequence 0",
      ],
      [
        "qLengths",
        { ...cu, qLengths: [1, 5] },
        "RANGE",
        "attention: options.qLengths[1] is 5; expected at most 4, the query rows of sequence 1",
      ],
      ["lengths", { ...cu, kvLengths: [1] }, "SHAPE", /kvLengths has 1 entries; expected 2 integers, one per sequence/],
      ["rows", { ...cu, returnWeights: { rows: [7] } }, "RANGE", /returnWeights\.rows\[0\] is 7/],
      [
        "narrow weights",
        { ...cu, returnWeights: true, out: { out: counted(7, 4, 6), weights: counted(4, 7, 9) } },
        "SHAPE",
        /weights\.shape is \[4, 7, 9\]; expected \[4, 7, 5\]/,
      ],
      [
        "narrow scores",
        { ...cu, tap: "raw", out: { out: counted(7, 4, 6), scores: counted(4, 7, 4) } },
        "SHAPE",
        /scores\.shape is \[4, 7, 4\]; expected \[4, 7, 5\]/,
      ],
      [
        "causal",
        { ...cu, causal: true },
        "OPTION",
        /causal with qLen 3 and kvLen 4 \(sequence 0\) needs options\.qOffset/,
      ],
      [
        "BitMask without an offset",
        { ...cu, mask: BitMask.causal() },
        "OPTION",
        /mask \(a BitMask without a qOffset of its own\) with qLen 3 and kvLen 4 \(sequence 0\) needs options\.qOffset/,
      ],
      [
        "offsets",
        { ...cu, causal: true, qOffset: [1] },
        "SHAPE",
        /qOffset has 1 entries; expected 2 integers, one per seq/,
      ],
    ],
    packed,
  );
  refuses([
    ["rank 4", { cuQLens: [0, 3], cuKvLens: [0, 5] }, "SHAPE", /query\.shape has 4 axes; expected 3 for packed/],
  ]);
});
