// Options and outputs that attention() must refuse, by example: class, code, message, and that nothing is lost by it.
import { attention, Tensor } from "saccade";
import { describe, expect, it } from "vitest";
import { counted, expectRefusal, expectWorks, thrownBy, withEngine } from "./refusal.ts";

const q = counted(2, 3, 4, 8);
const k = counted(2, 5, 2, 8);
const v = counted(2, 5, 2, 6);
/** Past the types: what JavaScript callers can do. */
const call = attention as (...args: unknown[]) => { out: { data: Float32Array; shape: number[] } };

type Case = readonly [what: string, args: readonly unknown[], code: string, message: string | RegExp];

function refuses(cases: readonly Case[]): void {
  it.each(cases)("%s", (_, args, code, message) => expectRefusal(() => call(...args), code, message));
}

describe("options", () => {
  const square = counted(2, 3, 2, 8);
  const args = (options: unknown): unknown[] => [square, square, square, options];
  refuses([
    ["a typo", args({ casual: true }), "OPTION", 'attention: there is no option "casual"; did you mean "causal"?'],
    ["another system's name", args({ is_causal: true }), "OPTION", /did you mean "causal"\?/],
    ["another system's spelling", args({ return_lse: true }), "OPTION", /did you mean "returnLse"\?/],
    [
      "nothing near",
      args({ dropoutProbability: 0 }),
      "OPTION",
      /there is no option "dropoutProbability"; the options are layout, scale,/,
    ],
    ["an unknown one that is undefined", args({ casual: undefined }), "OPTION", /did you mean "causal"/],
    ["layout", args({ layout: "bdsh" }), "OPTION", 'attention: options.layout is "bdsh"; expected "bshd" or "bhsd"'],
    ["layout by number", args({ layout: 1 }), "ARGUMENT", /options\.layout is 1/],
    ["scale NaN", args({ scale: Number.NaN }), "RANGE", "attention: options.scale is NaN; expected a finite number"],
    ["scale Infinity", args({ scale: Number.NEGATIVE_INFINITY }), "RANGE", /options\.scale is -Infinity/],
    ["scale in words", args({ scale: "1" }), "ARGUMENT", 'attention: options.scale is "1"; expected a finite number'],
    ["causal 1", args({ causal: 1 }), "ARGUMENT", "attention: options.causal is 1; expected true or false"],
    ["causal null", args({ causal: null }), "ARGUMENT", /options\.causal is null/],
    ["returnLse", args({ returnLse: "yes" }), "ARGUMENT", /options\.returnLse is "yes"/],
    ["returnWeights", args({ returnWeights: 1 }), "ARGUMENT", /options\.returnWeights is 1/],
    [
      "onEmptyRow",
      args({ onEmptyRow: "nan" }),
      "OPTION",
      'attention: options.onEmptyRow is "nan"; expected "zero" or "throw"',
    ],
    ["qOffset word", args({ causal: true, qOffset: "bottom-left" }), "OPTION", /expected "bottom-right" or "top-left"/],
    [
      "qOffset fraction",
      args({ causal: true, qOffset: 0.5 }),
      "RANGE",
      /options\.qOffset is 0\.5; expected an integer from -2147483648 to 2147483647/,
    ],
    ["qOffset too far", args({ causal: true, qOffset: 2 ** 31 }), "RANGE", /options\.qOffset is 2147483648/],
    [
      "qOffset per batch, too many",
      args({ causal: true, qOffset: [0, 0, 0] }),
      "SHAPE",
      "attention: options.qOffset has 3 entries; expected 2 integers, one per batch row",
    ],
    [
      "qOffset per batch, too few",
      args({ causal: true, qOffset: [0] }),
      "SHAPE",
      /options\.qOffset has 1 entries; expected 2/,
    ],
    [
      "qOffset per batch, a fraction",
      args({ causal: true, qOffset: [0, 1.5] }),
      "RANGE",
      /options\.qOffset\[1\] is 1\.5/,
    ],
    [
      "kvLengths too long",
      args({ kvLengths: [1, 4] }),
      "RANGE",
      "attention: options.kvLengths[1] is 4; expected at most kvLen, which is 3",
    ],
    [
      "kvLengths negative",
      args({ kvLengths: [1, -1] }),
      "RANGE",
      /options\.kvLengths\[1\] is -1; expected an integer from 0/,
    ],
    ["kvLengths, too few", args({ kvLengths: [1] }), "SHAPE", /options\.kvLengths has 1 entries; expected 2 integers/],
    [
      "kvLengths, one number",
      args({ kvLengths: 3 }),
      "ARGUMENT",
      /options\.kvLengths is 3; expected 2 integers, one per batch row/,
    ],
    ["kvLengths of bigints", args({ kvLengths: new BigInt64Array(2) }), "ARGUMENT", /options\.kvLengths\[0\] is 0n/],
    [
      "out.lse without returnLse",
      args({ out: { out: counted(2, 3, 2, 8), lse: counted(2, 2, 3) } }),
      "OPTION",
      "attention: options.out.lse is given, but options.returnLse is not true",
    ],
    [
      "out.weights without returnWeights",
      args({ out: { out: counted(2, 3, 2, 8), weights: counted(2, 2, 3, 3) } }),
      "OPTION",
      /options\.out\.weights is given, but options\.returnWeights is not true/,
    ],
    ["a typo in out", args({ out: { out: counted(2, 3, 2, 8), wieghts: 1 } }), "OPTION", /did you mean "weights"\?/],
    [
      "out of another shape",
      args({ out: counted(2, 3, 2, 4) }),
      "SHAPE",
      "attention: out.shape is [2, 3, 2, 4]; expected [2, 3, 2, 8]",
    ],
    [
      "lse of another shape",
      args({ returnLse: true, out: { out: counted(2, 3, 2, 8), lse: counted(2, 3, 2) } }),
      "SHAPE",
      /out\.lse\.shape is \[2, 3, 2\]; expected \[2, 2, 3\]/,
    ],
    ["no tensor as out", args({ out: 1 }), "ARGUMENT", /^attention: out is 1/],
  ]);

  it("causal with qLen != kvLen asks for qOffset", () =>
    expectRefusal(
      () => call(q, k, v, { causal: true }),
      "OPTION",
      /^attention: causal with qLen 3 and kvLen 5 needs options\.qOffset.*"bottom-right".*"top-left".*or a number$/,
    ));
});

describe("out that overlaps", () => {
  const buffer = new ArrayBuffer(4 * 64);
  const at = (first: number, ...shape: number[]): { data: Float32Array; shape: number[] } => {
    const elements = shape.reduce((product, size) => product * size, 1);
    return { data: new Float32Array(buffer, first * 4, elements), shape };
  };

  it.each([
    ["query", at(0, 2, 4), at(16, 2, 4), at(24, 2, 4)],
    ["key", at(16, 2, 4), at(7, 2, 4), at(24, 2, 4)],
    ["value", at(16, 2, 4), at(24, 2, 4), at(1, 2, 4)],
  ] as const)("%s, by the buffer of plain arrays", async (name, query, key, value) => {
    const before = new Uint8Array(buffer).slice();
    await expectRefusal(
      () => attention(query, key, value, { out: at(0, 2, 4) }),
      "OVERLAP",
      `attention: out shares memory with ${name}; an output must not overlap an input or another output`,
    );
    expect(new Uint8Array(buffer)).toEqual(before);
  });

  it("is allowed to touch, and to share a buffer without sharing bytes", () => {
    const out = at(0, 2, 4);
    expect(attention(at(8, 2, 4), at(16, 2, 4), at(24, 2, 4), { out }).out).toBe(out);
  });

  it("out and lse, out and weights", async () => {
    const x = counted(2, 2);
    await expectRefusal(
      () => attention(x, x, x, { returnLse: true, out: { out: at(0, 2, 2), lse: at(3, 2) } }),
      "OVERLAP",
      /^attention: out\.out shares memory with out\.lse/,
    );
    await expectRefusal(
      () => attention(x, x, x, { returnWeights: true, out: { out: at(2, 2, 2), weights: at(0, 2, 2) } }),
      "OVERLAP",
      /^attention: out\.out shares memory with out\.weights/,
    );
  });

  it("an input Tensor, and its view", async () => {
    const tensor = Tensor.from(counted(2, 4));
    const other = counted(2, 4);
    try {
      await expectRefusal(
        () => attention(tensor, other, other, { out: tensor }),
        "OVERLAP",
        /shares memory with query/,
      );
      await expectRefusal(
        () => attention(other, tensor, other, { out: { data: tensor.view(), shape: [2, 4] } }),
        "OVERLAP",
        /shares memory with key/,
      );
    } finally {
      tensor.dispose();
    }
  });

  it("itself, by strides", async () => {
    const x = counted(2, 4);
    await expectRefusal(
      () => attention(x, x, x, { out: { data: new Float32Array(8), shape: [2, 4], strides: [3, 1] } }),
      "STRIDE",
      /^attention: out\.strides \[3, 1\] let two elements of shape \[2, 4\] share a place/,
    );
  });
});

describe("onEmptyRow: throw", () => {
  it("names the first row that sees no key, after the run", async () => {
    const out = counted(2, 3, 2, 4);
    const x = counted(2, 3, 2, 4);
    await expectRefusal(
      () => attention(x, x, x, { kvLengths: [3, 0], onEmptyRow: "throw", out }),
      "EMPTY_ROW",
      'attention: batch 1, head 0, query row 0 sees no key, and options.onEmptyRow is "throw"',
    );
    expect([...out.data.subarray(24)]).toEqual(new Array(24).fill(0));
    await expectRefusal(
      () => attention(x, x, x, { causal: true, qOffset: -2, layout: "bshd", onEmptyRow: "throw" }),
      "EMPTY_ROW",
      /^attention: batch 0, head 0, query row 0 sees no key/,
    );
    expect(attention(x, x, x, { kvLengths: [3, 1], onEmptyRow: "throw" })).not.toHaveProperty("lse");
  });

  it("finds a row in the middle that only its scores hide", () => {
    const ones = { data: new Float32Array(12).fill(1), shape: [3, 4] };
    const query = { data: ones.data.slice(), shape: [3, 4] };
    expect(attention(query, ones, ones, { onEmptyRow: "throw" }).out.shape).toEqual([3, 4]);
    query.data[4] = Number.NEGATIVE_INFINITY;
    const error = thrownBy(() => attention(query, ones, ones, { onEmptyRow: "throw" }));
    expect(error.message).toMatch(/^attention: batch 0, head 0, query row 1 sees no key/);
  });
});

describe("Tensors", () => {
  const x = counted(1, 2);

  it("disposed", async () => {
    const tensor = Tensor.from(x);
    tensor.dispose();
    await expectRefusal(
      () => attention(tensor, x, x),
      "DISPOSED",
      "attention: query cannot be used: it has been disposed",
    );
    await expectRefusal(() => attention(x, x, x, { out: tensor }), "DISPOSED", /^attention: out cannot be used/);
  });

  it("the view of one that was disposed", async () => {
    const tensor = Tensor.from(x);
    const data = tensor.view();
    tensor.dispose();
    const stale = { data, shape: [1, 2] };
    await expectRefusal(
      () => attention(stale, x, x),
      "DISPOSED",
      /query\.data lies over wasm memory that no Tensor holds/,
    );
    await expectRefusal(() => attention(x, x, x, { out: stale }), "DISPOSED", /out\.data lies over wasm memory/);
  });

  it("of another engine, or of one that is disposed", () =>
    withEngine({}, async (engine) => {
      const foreign = Tensor.from(x, { engine });
      await expectRefusal(
        () => attention(x, foreign, x),
        "FOREIGN",
        "attention: key is a Tensor of another engine; make it with { engine }, or pass its toPlain()",
      );
      expect(attention(x, foreign, x, { engine }).out.shape).toEqual([1, 2]);
      // A view of another engine's memory is an ordinary array: it is copied.
      expect(attention(x, { data: foreign.view(), shape: [1, 2] }, x).out.shape).toEqual([1, 2]);
      expectWorks(engine);
      engine.dispose();
      await expectRefusal(() => attention(x, foreign, x), "DISPOSED", /the engine it lived in has been disposed/);
      expect(thrownBy(() => attention(x, x, x, { engine })).message).toBe("attention: the engine has been disposed");
    }));
});
