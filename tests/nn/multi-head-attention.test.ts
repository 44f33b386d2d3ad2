/** Multi-head attention: PyTorch's recorded layers, the bits of the steps it is made of, its memory and its refusals. */
import { attention, createEngine, init, linear, Tensor, type TensorLike } from "saccade";
import { MultiHeadAttention } from "saccade/nn";
import { beforeAll, describe, expect, it } from "vitest";
import { bitsOf, expectClose } from "../api/oracle.ts";
import { expectRefusal, thrownBy } from "../api/refusal.ts";
import type { Plain } from "../compat/arrays.ts";
import { classicCase, classicFiles, halved, painted } from "./classic.ts";

beforeAll(() => init());

/** PyTorch's boolean masks say where a key must not be attended; ours say where it may. */
const allowed = ({ data, shape }: Plain, to: number[] = shape) => ({
  data: Uint8Array.from(data as Uint8Array, (byte) => (byte === 0 ? 1 : 0)),
  shape: to,
});

describe("PyTorch's nn.MultiheadAttention", () => {
  const files = classicFiles("multihead_attention__");
  it("has five cases", () => {
    expect(files.length).toBe(5);
  });

  it.each(files)("%s", (file) => {
    const { params, tensors } = classicCase(file);
    const { inputs, weights, expected } = tensors;
    const { query, key, value, attn_mask, key_padding_mask } = inputs;
    const numHeads = params.numHeads!;
    const [batch, qLen] = query!.shape as [number, number];
    const kvLen = key!.shape[1]!;
    const options: { mask?: TensorLike; bias?: TensorLike } = {};
    if (attn_mask?.dtype === "float32") options.bias = attn_mask;
    else if (attn_mask?.shape.length === 3) options.mask = allowed(attn_mask, [batch, numHeads, qLen, kvLen]);
    else if (attn_mask !== undefined) options.mask = allowed(attn_mask);
    if (key_padding_mask !== undefined) options.mask = allowed(key_padding_mask, [batch, 1, 1, kvLen]);
    const prefixed = Object.fromEntries(Object.entries(weights).map(([name, tensor]) => [`attn.${name}`, tensor]));
    for (const dict of [prefixed, new Map(Object.entries(prefixed))]) {
      const layer = MultiHeadAttention.fromStateDict(dict, { numHeads, prefix: "attn." });
      const full = layer.forward(query!, key, value, { ...options, returnWeights: true });
      expect(full.out.shape).toEqual(expected.output!.shape);
      expectClose(full.out.data, expected.output!.data as Float32Array, 2e-6);
      expect(full.weights.shape).toEqual(expected.weights_per_head!.shape);
      expectClose(full.weights.data, expected.weights_per_head!.data as Float32Array, 1e-6);
      const mean = layer.forward(query!, key, value, { ...options, returnWeights: "head-mean" });
      expectClose(mean.weights.data, expected.weights_averaged!.data as Float32Array, 1e-6);
      layer.dispose();
    }
  });
});

const DIM = 12;
const plainWeights = () => ({
  wq: painted(1, 16, DIM),
  wk: painted(2, 8, 10),
  wv: painted(3, 6, 9),
  wo: painted(4, 5, 12),
  bq: painted(5, 16),
  bk: painted(6, 8),
  bv: painted(7, 6),
  bo: painted(8, 5),
});

describe("the layer", () => {
  const [query, key, value] = [painted(11, 2, 7, DIM), painted(12, 2, 9, 10), painted(13, 2, 9, 9)];
  const steps = (weights: ReturnType<typeof plainWeights>, options: object) => {
    const heads = (x: TensorLike, w: TensorLike, bias: TensorLike, count: number) => {
      const y = linear(x, w, { bias });
      return { data: y.data, shape: [...y.shape.slice(0, -1), count, y.shape.at(-1)! / count] };
    };
    const { wq, wk, wv, wo, bq, bk, bv, bo } = weights;
    const { out } = attention(heads(query, wq, bq, 4), heads(key, wk, bk, 2), heads(value, wv, bv, 2), options);
    return linear({ data: out.data, shape: [2, 7, 12] }, wo, { bias: bo });
  };

  it("has the bits of its steps, whatever form the weights have", () => {
    const weights = plainWeights();
    const options = { causal: true, qOffset: "bottom-right", kvLengths: [9, 4], scale: 0.4 } as const;
    const expected = bitsOf(steps(weights, options).data);
    const plain = new MultiHeadAttention({ ...weights, numHeads: 4, numKvHeads: 2 });
    expect([plain.numHeads, plain.numKvHeads]).toEqual([4, 2]);
    const { out } = plain.forward(query, key, value, options);
    expect(out.shape).toEqual([2, 7, 5]);
    expect(bitsOf(out.data)).toEqual(expected);
    const wq = Tensor.from(weights.wq);
    const held = [wq, ...[weights.wk, weights.wv, weights.wo].map((tensor) => Tensor.from(tensor))] as const;
    const [, wk, wv, wo] = held;
    const lent = new MultiHeadAttention({ ...weights, wq, wk: wk!, wv: wv!, wo: wo!, numHeads: 4, numKvHeads: 2 });
    const target = Tensor.empty([2, 7, 5]);
    const written = lent.forward(query, key, value, { ...options, out: target });
    expect(written.out).toBe(target);
    expect(bitsOf(target.toPlain().data)).toEqual(expected);
    lent.dispose();
    expect(wq.disposed).toBe(false);
    for (const tensor of [...held, target]) tensor.dispose();
    plain.dispose();
  });

  it("takes half weights exactly, and the query for key and value", () => {
    const [wq, wk, wv, wo] = [1, 2, 3, 4].map((seed) => halved(painted(seed, 8, 8)));
    const of = (form: "half" | "exact") =>
      new MultiHeadAttention({ wq: wq![form], wk: wk![form], wv: wv![form], wo: wo![form], numHeads: 2 });
    const [half, exact] = [of("half"), of("exact")];
    const x = painted(9, 5, 8);
    const expected = bitsOf(exact.forward(x, x, x).out.data);
    expect(bitsOf(half.forward(x).out.data)).toEqual(expected);
    expect(half.forward(x).out.shape).toEqual([5, 8]);
    half.dispose();
    exact.dispose();
  });

  it("gives other kinds of weights, sizes of nothing, and no sight of what is hidden", () => {
    const layer = new MultiHeadAttention({ ...plainWeights(), numHeads: 4, numKvHeads: 2 });
    const { weights } = layer.forward(query, key, value, { returnWeights: { topK: 3 } });
    expect([weights.values.shape, weights.indices.shape]).toEqual([
      [2, 4, 7, 3],
      [2, 4, 7, 3],
    ]);
    expect(layer.forward(painted(1, 2, 0, DIM), key, value).out.shape).toEqual([2, 0, 5]);
    const none = layer.forward(query, painted(1, 2, 0, 10), painted(1, 2, 0, 9));
    // Without a key the heads give 0, and what is left is bo.
    expect([...none.out.data.slice(0, 5)]).toEqual([...plainWeights().bo.data]);
    const clean = bitsOf(layer.forward(query, key, value, { kvLengths: [9, 4] }).out.data);
    for (const [tensor, width] of [
      [key, 10],
      [value, 9],
    ] as const) {
      const poisoned = { data: tensor.data.slice().fill(Number.NaN, (9 + 4) * width), shape: tensor.shape };
      const given = tensor === key ? [poisoned, value] : [key, poisoned];
      expect(bitsOf(layer.forward(query, given[0], given[1], { kvLengths: [9, 4] }).out.data)).toEqual(clean);
    }
    layer.dispose();
  });

  it("gives its memory back, once and for all", async () => {
    const engine = await createEngine();
    const before = engine.stats();
    const layer = new MultiHeadAttention({ ...plainWeights(), numHeads: 4, numKvHeads: 2, engine });
    expect(engine.stats().tensors).toBe(before.tensors + 8);
    layer.forward(query, key, value);
    layer.dispose();
    layer.dispose();
    expect(layer.disposed).toBe(true);
    expect(engine.stats()).toMatchObject({ liveBytes: before.liveBytes, tensors: before.tensors });
    expect(thrownBy(() => layer.forward(query, key, value)).message).toBe(
      "MultiHeadAttention.forward: this MultiHeadAttention cannot be used: it has been disposed",
    );
    const wq = Tensor.from(plainWeights().wq, { engine });
    const lent = new MultiHeadAttention({ ...plainWeights(), wq, numHeads: 4, numKvHeads: 2, engine });
    wq.dispose();
    expect(thrownBy(() => lent.forward(query, key, value)).code).toBe("ERR_SACCADE_DISPOSED");
    engine.dispose();
    expect(lent.disposed).toBe(true);
  });
});

describe("refusals", () => {
  const make = (changes: object) => () =>
    new MultiHeadAttention({ ...plainWeights(), numHeads: 4, numKvHeads: 2, ...changes });
  it("of weights", async () => {
    for (const nothing of [undefined, null, "weights"]) {
      await expectRefusal(() => new MultiHeadAttention(nothing as never), "ARGUMENT", /^MultiHeadAttention: /);
    }
    await expectRefusal(make({ numHeads: undefined }), "ARGUMENT", /options.numHeads is missing/);
    await expectRefusal(make({ numHeads: 3 }), "RANGE", /numHeads is 3, options.numKvHeads is 2; expected a multiple/);
    await expectRefusal(
      make({ numKvHeads: 1 }),
      "SHAPE",
      "MultiHeadAttention: wk.shape[0] is 8: 8 for each of 1 heads; expected 4, as wq has",
    );
    await expectRefusal(
      make({ wq: painted(1, 15, 12) }),
      "SHAPE",
      /wq.shape\[0\] \(outFeatures\) is 15; expected a multiple of the 4 heads/,
    );
    await expectRefusal(
      make({ wo: painted(1, 5, 11) }),
      "SHAPE",
      /wo.shape is \[5, 11\]; expected \[outFeatures, 12\]/,
    );
    await expectRefusal(make({ bv: painted(1, 5) }), "SHAPE", /bv.shape is \[5\]; expected \[6\]/);
    await expectRefusal(make({ wv: { data: new Int32Array(54), shape: [6, 9] } }), "DTYPE", /wv is int32/);
    await expectRefusal(make({ weight: 1 }), "OPTION", /there is no option "weight"/);
    await expectRefusal(make({ wk: undefined }), "ARGUMENT", /wk is undefined/);
    const dict = { in_proj_weight: painted(1, 12, 4), "out_proj.weight": painted(1, 4, 4) };
    const from =
      (changes: object, options: object = { numHeads: 2 }) =>
      () =>
        MultiHeadAttention.fromStateDict({ ...dict, ...changes }, options as { numHeads: number });
    await expectRefusal(from({ in_proj_weight: painted(1, 13, 4) }), "SHAPE", /in_proj_weight.shape is \[13, 4\]/);
    await expectRefusal(from({ "out_proj.weight": undefined }), "ARGUMENT", /there is no weight "out_proj.weight"/);
    await expectRefusal(from({ bias_k: painted(1, 1, 1, 4) }), "UNSUPPORTED", /bias_k/);
    await expectRefusal(from({}, { numHeads: 2, prefix: 3 }), "ARGUMENT", /options.prefix is 3/);
  });

  it("of a call", async () => {
    const layer = new MultiHeadAttention({ ...plainWeights(), numHeads: 4, numKvHeads: 2 });
    const x = painted(1, 2, 3, DIM);
    const [key, value] = [painted(2, 2, 3, 10), painted(3, 2, 3, 9)];
    const call =
      (options: object, q: TensorLike = x, k: TensorLike = key) =>
      () =>
        layer.forward(q, k, value, options as never);
    await expectRefusal(
      call({}, painted(1, 2, 3, 11)),
      "SHAPE",
      /query.shape\[2\] \(features\) is 11, wq.shape\[1\] \(inFeatures\) is 12/,
    );
    await expectRefusal(call({}, painted(1, 12)), "SHAPE", /query.shape has 1 axes/);
    await expectRefusal(call({}, x, painted(1, 3, 3, 10)), "SHAPE", /key.shape\[0\] \(batch\) is 3/);
    await expectRefusal(call({ layout: "bhsd" }), "OPTION", /there is no option "layout"/);
    await expectRefusal(
      call({ mask: { data: new Uint8Array(4), shape: [4] } }),
      "SHAPE",
      /mask.shape\[0\] \(kvLen\) is 4/,
    );
    await expectRefusal(call({ out: painted(1, 2, 3, 4) }), "SHAPE", /out.shape is \[2, 3, 4\]; expected \[2, 3, 5\]/);
    const held = Tensor.zeros([2, 3, 5]);
    const over = { data: held.view(), shape: [2, 4, 3, 1], strides: [12, 3, 1, 1] };
    const error = thrownBy(call({ out: held, bias: over }));
    expect(["ERR_SACCADE_SHAPE", "ERR_SACCADE_OVERLAP"]).toContain(error.code);
    held.dispose();
    layer.dispose();
  });
});
