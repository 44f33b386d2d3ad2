// Tensors that attention() must refuse, by example: class, code, message, and that nothing is lost by it.
import { attention } from "saccade";
import { describe, it } from "vitest";
import { counted, expectRefusal } from "./refusal.ts";

const q = counted(2, 3, 4, 8);
const k = counted(2, 5, 2, 8);
const v = counted(2, 5, 2, 6);
/** Past the types: what JavaScript callers can do. */
const call = attention as (...args: unknown[]) => { out: { data: Float32Array; shape: number[] } };

type Case = readonly [what: string, args: readonly unknown[], code: string, message: string | RegExp];

function refuses(cases: readonly Case[]): void {
  it.each(cases)("%s", (_, args, code, message) => expectRefusal(() => call(...args), code, message));
}

describe("arguments", () => {
  refuses([
    ["no query", [undefined, k, v], "ARGUMENT", "attention: query is undefined; expected a Tensor or { data, shape }"],
    ["null", [q, null, v], "ARGUMENT", "attention: key is null; expected a Tensor or { data, shape }"],
    ["a string", [q, k, "v"], "ARGUMENT", 'attention: value is "v"; expected a Tensor or { data, shape }'],
    [
      "a bare Float32Array",
      [q.data, k, v],
      "ARGUMENT",
      "attention: query is a Float32Array; expected a Tensor or { data, shape }",
    ],
    ["a plain array", [[[1]], k, v], "ARGUMENT", /query is a plain array; expected .* with a typed array as data$/],
    ["no data", [{ shape: [1] }, k, v], "ARGUMENT", /^attention: query has no data/],
    ["no shape", [{ data: q.data }, k, v], "ARGUMENT", /^attention: query has no shape/],
    ["a shape that is no list", [{ data: q.data, shape: 4 }, k, v], "ARGUMENT", /query\.shape is 4; expected an array/],
    [
      "a shape without length",
      [{ data: q.data, shape: {} }, k, v],
      "ARGUMENT",
      /query\.shape is not an array \(its length is undefined\)/,
    ],
    [
      "a shape of words",
      [{ data: q.data, shape: ["2", 3] }, k, v],
      "ARGUMENT",
      'attention: query.shape[0] is "2"; expected a number',
    ],
    [
      "a shape of bigints",
      [{ data: q.data, shape: [2n, 3n] }, k, v],
      "ARGUMENT",
      "attention: query.shape[0] is 2n; expected a number",
    ],
    ["options that are no object", [q, k, v, 3], "ARGUMENT", /^attention: options is 3/],
    [
      "an engine that is none",
      [q, k, v, { engine: {} }],
      "ARGUMENT",
      /options\.engine is an object; expected an engine made by/,
    ],
  ]);
});

describe("dtypes", () => {
  const shape = [1, 2];
  const two = (data: unknown, dtype?: unknown): unknown => ({ data, shape, dtype });
  const fine = counted(1, 2);
  refuses([
    [
      "Float64Array",
      [two(new Float64Array(2)), fine, fine],
      "DTYPE",
      "attention: query.data is a Float64Array, which no dtype uses; convert it: Float32Array.from(query.data)",
    ],
    [
      "number[]",
      [two([1, 2]), fine, fine],
      "DTYPE",
      "attention: query.data is an array; convert it: Float32Array.from(query.data)",
    ],
    [
      "BigInt64Array",
      [two(new BigInt64Array(2)), fine, fine],
      "DTYPE",
      /convert it: Float32Array\.from\(query\.data, Number\)/,
    ],
    ["Int8Array", [fine, two(new Int8Array(2)), fine], "DTYPE", /^attention: key\.data is a Int8Array/],
    ["Uint8ClampedArray", [fine, two(new Uint8ClampedArray(2)), fine], "DTYPE", /key\.data is a Uint8ClampedArray/],
    ["a buffer", [two(new ArrayBuffer(8)), fine, fine], "DTYPE", /is a raw buffer; make a typed array over it/],
    [
      "a proxy of an array",
      [two(new Proxy(new Float32Array(2), {})), fine, fine],
      "DTYPE",
      /query\.data is an object; expected a typed array/,
    ],
    [
      "Uint16Array without dtype",
      [two(new Uint16Array(2)), fine, fine],
      "DTYPE",
      /may hold "float16" or "bfloat16": give query\.dtype/,
    ],
    [
      "a dtype that is none",
      [two(new Float32Array(2), "f32"), fine, fine],
      "DTYPE",
      /query\.dtype is "f32"; expected one of "float32"/,
    ],
    [
      "a dtype of another array",
      [two(new Float32Array(2), "float16"), fine, fine],
      "DTYPE",
      'attention: query.dtype is "float16", but query.data is a Float32Array, which holds "float32"',
    ],
    ["__proto__ as dtype", [two(new Float32Array(2), "__proto__"), fine, fine], "DTYPE", /query\.dtype is "__proto__"/],
    [
      "int32 value",
      [fine, fine, two(new Int32Array(2))],
      "DTYPE",
      "attention: value is int32; expected float32, float16 or bfloat16: convert it first",
    ],
    ["float16 out", [fine, fine, fine, { out: two(new Uint16Array(2), "float16") }], "DTYPE", /out is float16/],
  ]);
});

describe("shapes", () => {
  const sized = (...shape: number[]): unknown => ({ data: new Float32Array(0), shape });
  refuses([
    ["headDim", [q, counted(2, 5, 2, 10), v], "SHAPE", "attention: key.shape[3] (headDim) is 10, query.shape[3] is 8"],
    ["batch of key", [q, counted(1, 5, 2, 8), v], "SHAPE", "attention: key.shape[0] (batch) is 1, query.shape[0] is 2"],
    [
      "batch of value",
      [q, k, counted(3, 5, 2, 6)],
      "SHAPE",
      "attention: value.shape[0] (batch) is 3, query.shape[0] is 2",
    ],
    ["kvLen", [q, k, counted(2, 4, 2, 6)], "SHAPE", "attention: value.shape[1] (kvLen) is 4, key.shape[1] is 5"],
    [
      "kvLen in bhsd",
      [counted(2, 4, 3, 8), counted(2, 2, 5, 8), counted(2, 2, 4, 6), { layout: "bhsd" }],
      "SHAPE",
      "attention: value.shape[2] (kvLen) is 4, key.shape[2] is 5",
    ],
    [
      "numKvHeads",
      [q, k, counted(2, 5, 4, 6)],
      "SHAPE",
      "attention: value.shape[2] (numKvHeads) is 4, key.shape[2] is 2",
    ],
    [
      "no multiple",
      [q, counted(2, 5, 3, 8), counted(2, 5, 3, 6)],
      "SHAPE",
      "attention: query.shape[2] (numHeads) is 4, key.shape[2] (numKvHeads) is 3; expected a multiple of it",
    ],
    ["no kv heads", [q, sized(2, 5, 0, 8), sized(2, 5, 0, 6)], "SHAPE", /expected a multiple of it$/],
    [
      "headDim 0",
      [sized(2, 0), sized(2, 0), sized(2, 0)],
      "SHAPE",
      "attention: query.shape[1] (headDim) is 0; expected at least 1",
    ],
    [
      "rank 1",
      [counted(4), k, v],
      "SHAPE",
      /^attention: query\.shape has 1 axes; expected 4 \(\[batch, seq, heads, headDim\]\)/,
    ],
    ["rank 5", [counted(1, 1, 1, 1, 1), k, v], "SHAPE", /query\.shape has 5 axes/],
    [
      "rank 9",
      [{ data: new Float32Array(1), shape: new Array(9).fill(1) }, k, v],
      "SHAPE",
      /query\.shape has 9 entries/,
    ],
    [
      "ranks that differ",
      [q, counted(5, 2, 8), v],
      "SHAPE",
      "attention: key.shape has 3 axes, query.shape has 4; expected the same rank",
    ],
    [
      "too little data",
      [{ data: new Float32Array(7), shape: [1, 8] }, counted(1, 8), counted(1, 8)],
      "SHAPE",
      "attention: query.data holds 7 elements, query.shape [1, 8] needs 8",
    ],
    [
      "too much data",
      [{ data: new Float32Array(9), shape: [1, 8] }, counted(1, 8), counted(1, 8)],
      "SHAPE",
      /query\.data holds 9 elements, query\.shape \[1, 8\] needs 8 \(to view a part/,
    ],
    [
      "negative size",
      [{ data: q.data, shape: [-1, 8] }, k, v],
      "SHAPE",
      "attention: query.shape[0] is -1; expected an integer from 0 to 2147483647",
    ],
    ["NaN", [{ data: q.data, shape: [Number.NaN, 8] }, k, v], "SHAPE", /query\.shape\[0\] is NaN/],
    ["1.5", [{ data: q.data, shape: new Float64Array([1.5, 8]) }, k, v], "SHAPE", /query\.shape\[0\] is 1\.5/],
    ["huge size", [{ data: q.data, shape: [2 ** 31, 8] }, k, v], "SHAPE", /query\.shape\[0\] is 2147483648/],
    [
      "Infinity",
      [{ data: q.data, shape: [Number.POSITIVE_INFINITY, 8] }, k, v],
      "SHAPE",
      /query\.shape\[0\] is Infinity/,
    ],
    [
      "a product past 2^32",
      [sized(65536, 65536), sized(65536, 65536), sized(65536, 65536)],
      "SHAPE",
      /query\.data holds 0 elements, query\.shape \[65536, 65536\] needs 4294967296/,
    ],
    [
      "a product past 2^53",
      [sized(2 ** 30, 2 ** 30), sized(2 ** 30, 2 ** 30), sized(2 ** 30, 2 ** 30)],
      "SHAPE",
      /more than 2\^53 elements/,
    ],
  ]);
});

describe("strides and offsets", () => {
  const view = (strides: unknown, offset?: unknown): unknown => ({
    data: new Float32Array(16),
    shape: [2, 4],
    strides,
    offset,
  });
  const fine = counted(2, 4);
  refuses([
    [
      "a last axis that is not contiguous",
      [view([8, 2]), fine, fine],
      "STRIDE",
      "attention: query.strides[1] is 2; the last axis must be contiguous (stride 1)",
    ],
    ["reversed", [view([4, -1]), fine, fine], "STRIDE", /query\.strides\[1\] is -1; expected an integer from 0/],
    ["negative rows", [view([-4, 1]), fine, fine], "STRIDE", /query\.strides\[0\] is -4/],
    ["a fraction", [view([4.5, 1]), fine, fine], "STRIDE", /query\.strides\[0\] is 4\.5/],
    ["too few", [view([1]), fine, fine], "STRIDE", /query\.strides has 1 entries; expected one per axis/],
    ["no list", [view(4), fine, fine], "ARGUMENT", /query\.strides is 4/],
    ["words", [view(["4", 1]), fine, fine], "ARGUMENT", /query\.strides\[0\] is "4"/],
    [
      "past the end",
      [view([13, 1]), fine, fine],
      "STRIDE",
      "attention: query.data holds 16 elements, but shape [2, 4] with strides [13, 1] and offset 0 reaches element 16",
    ],
    [
      "past the end by the offset",
      [view([4, 1], 9), fine, fine],
      "STRIDE",
      /with strides \[4, 1\] and offset 9 reaches element 16$/,
    ],
    ["past 2^32", [view([2 ** 32, 1]), fine, fine], "STRIDE", /query\.strides\[0\] is 4294967296/],
    ["a negative offset", [view([4, 1], -1), fine, fine], "RANGE", /query\.offset is -1/],
    ["a fractional offset", [view([4, 1], 0.5), fine, fine], "RANGE", /query\.offset is 0\.5/],
    ["an offset in words", [view([4, 1], "0"), fine, fine], "ARGUMENT", /query\.offset is "0"; expected an integer/],
  ]);
});
