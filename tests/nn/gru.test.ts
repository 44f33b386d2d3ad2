/** GRU: PyTorch's recorded layers, ragged batches, its memory and its refusals. */
import { createEngine, init, Tensor } from "saccade";
import { GRU } from "saccade/nn";
import { beforeAll, describe, expect, it } from "vitest";
import { bitsOf, expectClose } from "../api/oracle.ts";
import { expectRefusal, thrownBy } from "../api/refusal.ts";
import { classicCase, classicFiles, halved, painted } from "./classic.ts";

beforeAll(() => init());

describe("PyTorch's nn.GRU", () => {
  it.each(classicFiles("gru_"))("%s", (file) => {
    const { params, tensors } = classicCase(file);
    const { inputs, weights, expected } = tensors;
    const gru = new GRU(weights);
    expect(gru.numLayers).toBe(params.numLayers);
    expect(gru.bidirectional).toBe(params.bidirectional ?? false);
    expect([gru.inputSize, gru.hiddenSize]).toEqual([5, 4]);
    const { output, hn } = gru.forward(inputs.input!, { h0: inputs.h0 });
    expect(output.shape).toEqual(expected.output!.shape);
    expect(hn.shape).toEqual(expected.hn!.shape);
    expectClose(output.data, expected.output!.data as Float32Array, 3e-7);
    expectClose(hn.data, expected.hn!.data as Float32Array, 3e-7);
    gru.dispose();
  });
  it("are two", () => {
    expect(classicFiles("gru_").length).toBe(2);
  });
});

/** Two layers, both directions. */
function weightsOf(inputSize: number, hidden: number) {
  return Object.fromEntries(
    ["l0", "l0_reverse", "l1", "l1_reverse"].flatMap((suffix, seed) => [
      [`rnn.weight_ih_${suffix}`, painted(seed, 3 * hidden, suffix.startsWith("l0") ? inputSize : 2 * hidden)],
      [`rnn.weight_hh_${suffix}`, painted(seed + 10, 3 * hidden, hidden)],
      [`rnn.bias_ih_${suffix}`, painted(seed + 20, 3 * hidden)],
      [`rnn.bias_hh_${suffix}`, painted(seed + 30, 3 * hidden)],
    ]),
  );
}

describe("a batch of different lengths", () => {
  const [batch, time, inputSize, hidden] = [4, 6, 5, 7];
  const x = painted(50, batch, time, inputSize);
  const h0 = painted(51, 4, batch, hidden);
  const lengths = [6, 0, 3, 1];

  it("has the bits of each row alone, as long as it is, and does not see what lies behind", () => {
    const gru = new GRU(weightsOf(inputSize, hidden), { prefix: "rnn." });
    const poisoned = { data: x.data.slice(), shape: x.shape };
    for (const [b, length] of lengths.entries()) {
      poisoned.data.fill(Number.NaN, (b * time + length) * inputSize, (b + 1) * time * inputSize);
    }
    const { output, hn } = gru.forward(poisoned, { h0, lengths });
    for (const [b, length] of lengths.entries()) {
      const rows = {
        data: x.data.slice(b * time * inputSize, (b * time + length) * inputSize),
        shape: [length, inputSize],
      };
      const states = Float32Array.from(
        { length: 4 * hidden },
        (_, i) => h0.data[(Math.floor(i / hidden) * batch + b) * hidden + (i % hidden)]!,
      );
      const alone = gru.forward(rows, { h0: { data: states, shape: [4, hidden] } });
      expect(alone.output.shape).toEqual([length, 2 * hidden]);
      expect(alone.hn.shape).toEqual([4, hidden]);
      const width = 2 * hidden;
      expect(bitsOf(output.data.slice(b * time * width, (b * time + length) * width))).toEqual(
        bitsOf(alone.output.data),
      );
      expect(output.data.slice((b * time + length) * width, (b + 1) * time * width).every((y) => Object.is(y, 0))).toBe(
        true,
      );
      for (let state = 0; state < 4; state++) {
        const at = (state * batch + b) * hidden;
        expect([...hn.data.slice(at, at + hidden)]).toEqual([
          ...alone.hn.data.slice(state * hidden, (state + 1) * hidden),
        ]);
      }
    }
    gru.dispose();
  });

  it("is the same from halves, tensors and into a target", () => {
    const weights = weightsOf(inputSize, hidden);
    const halves = Object.fromEntries(Object.entries(weights).map(([name, tensor]) => [name, halved(tensor)]));
    const of = (form: "half" | "exact") =>
      Object.fromEntries(Object.entries(halves).map(([name, each]) => [name, each[form]]));
    const [half, exact] = [new GRU(of("half"), { prefix: "rnn." }), new GRU(of("exact"), { prefix: "rnn." })];
    const expected = exact.forward(x, { lengths });
    const held = Tensor.from(x);
    const out = Tensor.empty([batch, time, 2 * hidden]);
    const { output, hn } = half.forward(held, { out, lengths: { data: Int32Array.from(lengths), shape: [batch] } });
    expect(output).toBe(out);
    expect(bitsOf(out.toPlain().data)).toEqual(bitsOf(expected.output.data));
    expect(bitsOf(hn.data)).toEqual(bitsOf(expected.hn.data));
    for (const each of [held, out, half, exact]) each.dispose();
  });

  it("may be empty", () => {
    const gru = new GRU(weightsOf(inputSize, hidden), { prefix: "rnn." });
    const none = gru.forward(painted(1, 0, 3, inputSize));
    expect([none.output.shape, none.hn.shape]).toEqual([
      [0, 3, 14],
      [4, 0, 7],
    ]);
    const still = gru.forward(painted(1, batch, 0, inputSize), { h0 });
    expect(still.output.shape).toEqual([batch, 0, 14]);
    expect([...still.hn.data]).toEqual([...h0.data]);
    gru.dispose();
  });
});

describe("memory and refusals", () => {
  it("gives its memory back", async () => {
    const engine = await createEngine();
    const before = engine.stats();
    const gru = new GRU(weightsOf(3, 2), { prefix: "rnn.", engine });
    expect(engine.stats().tensors).toBe(before.tensors + 16);
    gru.dispose();
    expect(engine.stats()).toMatchObject({ liveBytes: before.liveBytes, tensors: before.tensors });
    expect(thrownBy(() => gru.forward(painted(1, 2, 3))).code).toBe("ERR_SACCADE_DISPOSED");
    expect(
      () =>
        new GRU(
          { ...weightsOf(3, 2), "rnn.bias_hh_l1_reverse": { data: new Int32Array(6), shape: [6] } },
          { prefix: "rnn.", engine },
        ),
    ).toThrow(/bias_hh_l1_reverse is int32/);
    expect(engine.stats()).toMatchObject({ liveBytes: before.liveBytes, tensors: before.tensors });
    engine.dispose();
  });

  it("names what is wrong", async () => {
    const make = (changes: object) => () => new GRU({ ...weightsOf(5, 4), ...changes }, { prefix: "rnn." });
    await expectRefusal(make({ "rnn.weight_hh_l1": undefined }), "ARGUMENT", /there is no weight "rnn.weight_hh_l1"/);
    await expectRefusal(
      make({ "rnn.weight_ih_l1": painted(1, 12, 4) }),
      "SHAPE",
      /rnn.weight_ih_l1.shape is \[12, 4\]; expected \[12, 8\]/,
    );
    await expectRefusal(
      make({ "rnn.weight_hh_l0": painted(1, 11, 4) }),
      "SHAPE",
      /rnn.weight_hh_l0.shape is \[11, 4\]; expected \[12, 4\]/,
    );
    await expectRefusal(
      make({ "rnn.bias_ih_l0": painted(1, 4) }),
      "SHAPE",
      /rnn.bias_ih_l0.shape is \[4\]; expected \[12\]/,
    );
    await expectRefusal(
      make({ "rnn.weight_ih_l3": painted(1, 12, 8) }),
      "ARGUMENT",
      /rnn.weight_ih_l3 has no place: the other weights make 2 layers/,
    );
    const gru = new GRU(weightsOf(5, 4), { prefix: "rnn." });
    const x = painted(1, 2, 3, 5);
    await expectRefusal(
      () => gru.forward(painted(1, 2, 3, 6)),
      "SHAPE",
      /x.shape is \[2, 3, 6\]; expected \[batch, time, 5\]/,
    );
    await expectRefusal(
      () => gru.forward(x, { h0: painted(1, 2, 2, 4) }),
      "SHAPE",
      /h0.shape is \[2, 2, 4\]; expected \[4, 2, 4\]/,
    );
    await expectRefusal(
      () => gru.forward(x, { lengths: [3, 4] }),
      "RANGE",
      /options.lengths\[1\] is 4; expected at most x.shape\[1\], which is 3/,
    );
    await expectRefusal(() => gru.forward(x, { length: [3] } as never), "OPTION", /there is no option "length"/);
    await expectRefusal(() => gru.forward(x, { out: x }), "SHAPE", /out.shape/);
    gru.dispose();
  });
});
