/** The decoder of Bahdanau et al.: PyTorch's recorded step, the bits of its parts, its memory and its refusals. */
import { additive, attentionPooling, createEngine, init, Tensor } from "saccade";
import { BahdanauDecoder, GRU } from "saccade/nn";
import { beforeAll, describe, expect, it } from "vitest";
import { bitsOf, expectClose } from "../api/oracle.ts";
import { expectRefusal, thrownBy } from "../api/refusal.ts";
import { classicCase, painted } from "./classic.ts";

beforeAll(() => init());

/** Units 6, state 4, encoder 5, embedding 3. */
const weights = () => ({
  wq: painted(1, 6, 4),
  wk: painted(2, 6, 5),
  v: painted(3, 6),
  bias: painted(4, 6),
  gru: { weight_ih: painted(5, 12, 8), weight_hh: painted(6, 12, 4), bias_ih: painted(7, 12), bias_hh: painted(8, 12) },
});
const encoder = painted(11, 2, 7, 5);
const embedding = painted(12, 2, 3);
const hidden = painted(13, 2, 4);
const kvLengths = [7, 3];

describe("BahdanauDecoder", () => {
  it("is PyTorch's step", () => {
    const { tensors } = classicCase("bahdanau_decoder_step.json");
    const { inputs, weights: given, expected } = tensors;
    const gru = Object.fromEntries(
      Object.entries(given).flatMap(([name, tensor]) => (name.startsWith("gru.") ? [[name.slice(4), tensor]] : [])),
    );
    const { Wq: wq, Wk: wk, v } = given;
    const decoder = new BahdanauDecoder({ wq: wq!, wk: wk!, v: v!, gru });
    decoder.encode(inputs.encoder!, { kvLengths: inputs.key_lengths! });
    const step = decoder.step(inputs.embedding!, inputs.hidden!);
    for (const name of ["context", "weights", "hidden"] as const) {
      expect(step[name].shape).toEqual(expected[name]!.shape);
      expectClose(step[name].data, expected[name]!.data as Float32Array, 3e-7);
    }
    decoder.dispose();
  });

  it("has the bits of additive pooling and of a GRU, step after step, and does not see what lies behind", () => {
    const { wq, wk, v, bias, gru } = weights();
    const decoder = new BahdanauDecoder(weights());
    expect([decoder.hiddenSize, decoder.encoderSize, decoder.embeddingSize]).toEqual([4, 5, 3]);
    const poisoned = { data: encoder.data.slice().fill(Number.NaN, (7 + 3) * 5), shape: encoder.shape };
    decoder.encode(poisoned, { kvLengths });
    const cell = new GRU(Object.fromEntries(Object.entries(gru).map(([name, tensor]) => [`${name}_l0`, tensor])));
    let state = hidden;
    for (let t = 0; t < 3; t++) {
      const step = decoder.step(embedding, state);
      const query = { data: state.data, shape: [2, 1, 4] };
      const pooled = attentionPooling(query, encoder, encoder, {
        score: additive({ wq, wk, v, bias }),
        kvLengths,
        returnWeights: true,
      });
      expect(bitsOf(step.context.data)).toEqual(bitsOf(pooled.out.data));
      expect(bitsOf(step.weights.data)).toEqual(bitsOf(pooled.weights.data));
      const joined = Float32Array.from({ length: 16 }, (_, i) => {
        const [b, at] = [Math.floor(i / 8), i % 8];
        return at < 5 ? pooled.out.data[b * 5 + at]! : embedding.data[b * 3 + at - 5]!;
      });
      const next = cell.forward({ data: joined, shape: [2, 1, 8] }, { h0: { data: state.data, shape: [1, 2, 4] } });
      expect(bitsOf(step.hidden.data)).toEqual(bitsOf(next.hn.data));
      state = { data: step.hidden.data, shape: [2, 4] };
    }
    cell.dispose();
    decoder.dispose();
  });

  it("holds one encoding at a time, apart from the caller's, and gives its memory back", async () => {
    const engine = await createEngine();
    const before = engine.stats();
    const decoder = new BahdanauDecoder({ ...weights(), engine });
    expect(engine.stats().tensors).toBe(before.tensors + 8);
    const given = Tensor.from(encoder, { engine });
    decoder.encode(given, { kvLengths });
    const first = bitsOf(decoder.step(embedding, hidden).hidden.data);
    given.view().fill(Number.NaN);
    expect(bitsOf(decoder.step(embedding, hidden).hidden.data)).toEqual(first);
    given.dispose();
    const held = engine.stats();
    expect(held.tensors).toBe(before.tensors + 10);
    expect(() => decoder.encode(painted(1, 2, 7, 6))).toThrow(/encoder.shape is \[2, 7, 6\]/);
    expect(bitsOf(decoder.step(embedding, hidden).hidden.data)).toEqual(first);
    for (let i = 0; i < 3; i++) decoder.encode(encoder, { kvLengths });
    expect(engine.stats()).toMatchObject({ tensors: held.tensors, liveBytes: held.liveBytes });
    decoder.dispose();
    expect(engine.stats()).toMatchObject({ tensors: before.tensors, liveBytes: before.liveBytes });
    expect(thrownBy(() => decoder.step(embedding, hidden)).code).toBe("ERR_SACCADE_DISPOSED");
    engine.dispose();
  });

  it("attends to nothing where there is nothing", () => {
    const decoder = new BahdanauDecoder(weights());
    decoder.encode(encoder, { kvLengths: [0, 2] });
    const { context, weights: found } = decoder.step(embedding, hidden);
    expect([...context.data.slice(0, 5), ...found.data.slice(0, 7)]).toEqual(new Array(12).fill(0));
    decoder.encode(painted(1, 2, 0, 5));
    expect([...decoder.step(embedding, hidden).context.data]).toEqual(new Array(10).fill(0));
    decoder.encode(painted(1, 0, 7, 5));
    expect(decoder.step(painted(1, 0, 3), painted(1, 0, 4)).hidden.shape).toEqual([0, 4]);
    decoder.dispose();
  });

  it("names what is wrong", async () => {
    const make = (changes: object) => () => new BahdanauDecoder({ ...weights(), ...changes });
    await expectRefusal(make({ wk: undefined }), "ARGUMENT", "BahdanauDecoder: wk is missing");
    await expectRefusal(make({ wq: painted(1, 5, 4) }), "SHAPE", /wq.shape\[0\] is 5/);
    await expectRefusal(
      make({ gru: { ...weights().gru, weight_hh: painted(1, 12, 3) } }),
      "SHAPE",
      /weight_hh.shape is \[12, 3\]/,
    );
    await expectRefusal(
      make({ gru: { ...weights().gru, weight_ih: painted(1, 12, 4) } }),
      "SHAPE",
      /weight_ih.shape\[1\] is 4; expected encoderDim/,
    );
    await expectRefusal(make({ gruu: 1 }), "OPTION", /there is no option "gruu"/);
    const decoder = new BahdanauDecoder(weights());
    await expectRefusal(() => decoder.step(embedding, hidden), "NOT_INITIALIZED", /call encode\(encoder\) first/);
    await expectRefusal(() => decoder.encode(encoder, { kvLengths: [8, 1] }), "RANGE", /options.kvLengths\[0\] is 8/);
    decoder.encode(encoder);
    await expectRefusal(
      () => decoder.step(painted(1, 2, 4), hidden),
      "SHAPE",
      /embedding.shape is \[2, 4\]; expected \[2, 3\]/,
    );
    await expectRefusal(
      () => decoder.step(embedding, painted(1, 3, 4)),
      "SHAPE",
      /hidden.shape is \[3, 4\]; expected \[2, 4\]/,
    );
    decoder.dispose();
  });
});
