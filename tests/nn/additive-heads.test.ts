/** Multi-head attention with additive heads has the bits of additive pooling, head by head. */
import { additive, attentionPooling, init, linear, type PlainTensor, Tensor, type TensorLike } from "saccade";
import { MultiHeadAttention } from "saccade/nn";
import { beforeAll, describe, expect, it } from "vitest";
import { bitsOf } from "../api/oracle.ts";
import { expectRefusal } from "../api/refusal.ts";
import { painted } from "./classic.ts";

beforeAll(() => init());

const [batch, qLen, kvLen] = [2, 5, 7];
const [numHeads, numKvHeads, headDim, valueDim] = [4, 2, 6, 3];
const weights = () => ({
  wq: painted(1, numHeads * headDim, 8),
  wk: painted(2, numKvHeads * headDim, 9),
  wv: painted(3, numKvHeads * valueDim, 10),
  wo: painted(4, 11, numHeads * valueDim),
  bq: painted(5, numHeads * headDim),
  bk: painted(6, numKvHeads * headDim),
  bo: painted(7, 11),
  v: painted(8, numHeads, headDim),
  score: "additive" as const,
  ...{ numHeads, numKvHeads },
});
const [query, key, value] = [painted(11, batch, qLen, 8), painted(12, batch, kvLen, 9), painted(13, batch, kvLen, 10)];
const mask = {
  data: Uint8Array.from({ length: numHeads * qLen * kvLen }, (_, i) => Number((i * 5) % 7 > 1)),
  shape: [numHeads, qLen, kvLen],
};

type Floats = TensorLike & { data: Float32Array; shape: number[] };

/** Columns of the last axis. */
function columns({ data, shape }: PlainTensor<"float32">, from: number, count: number): Floats {
  const width = shape.at(-1)!;
  const rows = data.length / width;
  const picked = Float32Array.from(
    { length: rows * count },
    (_, i) => data[Math.floor(i / count) * width + from + (i % count)]!,
  );
  return { data: picked, shape: [...shape.slice(0, -1), count] };
}

describe("additive heads", () => {
  it.each([undefined, [7, 3]])("are pooled one by one, kvLengths %s", (kvLengths) => {
    const w = weights();
    const layer = new MultiHeadAttention(w);
    const joined = new Float32Array(batch * qLen * numHeads * valueDim);
    const { out, weights: found } = layer.forward(query, key, value, { mask, kvLengths, returnWeights: true });
    expect(found.shape).toEqual([batch, numHeads, qLen, kvLen]);
    for (let head = 0; head < numHeads; head++) {
      const g = (head / (numHeads / numKvHeads)) | 0;
      const pooled = attentionPooling(
        columns(linear(query, w.wq, { bias: w.bq }), head * headDim, headDim),
        columns(linear(key, w.wk, { bias: w.bk }), g * headDim, headDim),
        columns(linear(value, w.wv), g * valueDim, valueDim),
        {
          score: additive({ v: { data: w.v.data.slice(head * headDim, (head + 1) * headDim), shape: [headDim] } }),
          mask: { data: mask.data.slice(head * qLen * kvLen, (head + 1) * qLen * kvLen), shape: [qLen, kvLen] },
          kvLengths,
          returnWeights: true,
        },
      );
      pooled.out.data.forEach((x, i) => {
        joined[Math.floor(i / valueDim) * numHeads * valueDim + head * valueDim + (i % valueDim)] = x;
      });
      const size = qLen * kvLen;
      for (let b = 0; b < batch; b++) {
        const at = (b * numHeads + head) * size;
        expect(bitsOf(found.data.slice(at, at + size))).toEqual(
          bitsOf(pooled.weights.data.slice(b * size, (b + 1) * size)),
        );
      }
    }
    const expected = linear({ data: joined, shape: [batch, qLen, numHeads * valueDim] }, w.wo, { bias: w.bo });
    expect(out.shape).toEqual([batch, qLen, 11]);
    expect(bitsOf(out.data)).toEqual(bitsOf(expected.data));
    // A row alone, into a target.
    const target = Tensor.empty([qLen, 11]);
    const first = (tensor: { data: Float32Array; shape: number[] }) => {
      const [, rows, width] = tensor.shape as [number, number, number];
      return { data: tensor.data.slice(0, rows * width), shape: [rows, width] };
    };
    const options = { mask, kvLengths: kvLengths?.slice(0, 1), out: target };
    expect(layer.forward(first(query), first(key), first(value), options).out).toBe(target);
    expect(bitsOf(target.toPlain().data)).toEqual(bitsOf(expected.data.slice(0, qLen * 11)));
    target.dispose();
    layer.dispose();
  });

  it("names what is wrong", async () => {
    const make = (changes: object) => () => new MultiHeadAttention({ ...weights(), ...changes });
    await expectRefusal(make({ v: undefined }), "OPTION", /score "additive" needs v/);
    await expectRefusal(make({ score: undefined }), "OPTION", /v goes with score "additive" only/);
    await expectRefusal(
      make({ score: "dot" }),
      "OPTION",
      /options.score is "dot"; expected "scaled-dot" or "additive"/,
    );
    await expectRefusal(make({ v: painted(1, 4, 5) }), "SHAPE", /v.shape\[1\] is 5; expected \[4, 6\]/);
    await expectRefusal(
      make({ v: { data: new Float32Array(24).fill(Number.NaN), shape: [4, 6] } }),
      "RANGE",
      /v.data has NaN/,
    );
    const layer = new MultiHeadAttention(weights());
    const call =
      (options: object, k: TensorLike = key) =>
      () =>
        layer.forward(query, k, value, options as never);
    await expectRefusal(call({ causal: true }), "OPTION", /options.causal does not go with additive heads/);
    await expectRefusal(call({ kvLengths: [8, 1] }), "RANGE", /options.kvLengths\[0\] is 8/);
    await expectRefusal(call({ mask: { data: new Uint8Array(6), shape: [6] } }), "SHAPE", /mask.shape is \[6\]/);
    await expectRefusal(
      call({}, painted(1, 3, kvLen, 9)),
      "SHAPE",
      /key.shape is \[3, 7, 9\]; expected \[2, kvLen, features\]/,
    );
    await expectRefusal(
      call({}, painted(1, 2, 6, 9)),
      "SHAPE",
      /value.shape is \[2, 7, 10\]; expected \[2, 6, features\]/,
    );
    layer.dispose();
  });
});
