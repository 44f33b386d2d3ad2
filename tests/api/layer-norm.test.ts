/** Layer normalisation: the definition in f64, axes, dtypes, targets, NaN, empty sizes and refusals. */
import { createEngine, init, layerNorm, rmsNorm, Tensor } from "saccade";
import { beforeAll, describe, expect, it } from "vitest";
import { bitsOf, expectClose } from "./oracle.ts";
import { counted, expectRefusal } from "./refusal.ts";

beforeAll(() => init());

/** PyTorch's definition, along the last axis. */
function definition(x: ArrayLike<number>, n: number, epsilon: number, centred: boolean): number[] {
  const rows = Array.from({ length: x.length / n }, (_, r) => Array.from({ length: n }, (_, i) => x[r * n + i]!));
  return rows.flatMap((row) => {
    const mean = centred ? row.reduce((a, b) => a + b, 0) / n : 0;
    const variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / n;
    return row.map((v) => (v - mean) / Math.sqrt(variance + epsilon));
  });
}

describe("layerNorm and rmsNorm", () => {
  it("are their definitions, weights and bias last", () => {
    const x = counted(3, 5, 70);
    const [weight, bias] = [counted(70), { data: new Float32Array(70).fill(0.25), shape: [70] }];
    const plain = definition(x.data, 70, 1e-5, true);
    expectClose(layerNorm(x).data, Float32Array.from(plain), 2e-6);
    const affine = plain.map((v, i) => v * weight.data[i % 70]! + 0.25);
    const { data, shape, dtype } = layerNorm(x, { weight, bias });
    expect([shape, dtype]).toEqual([[3, 5, 70], "float32"]);
    expectClose(data, Float32Array.from(affine), 2e-6);
    expectClose(rmsNorm(x).data, Float32Array.from(definition(x.data, 70, 2 ** -23, false)), 2e-6);
    const scaled = definition(x.data, 70, 0.5, false).map((v, i) => v * weight.data[i % 70]!);
    expectClose(rmsNorm(x, { weight, epsilon: 0.5 }).data, Float32Array.from(scaled), 2e-6);
  });

  it("give the same bits along any axis", () => {
    const x = counted(4, 6, 9);
    const turned = Float32Array.from(x.data, (_, i) => x.data[Math.floor(i / 24) + (i % 24) * 9]!);
    const across = layerNorm({ data: turned, shape: [9, 4, 6] }, { axis: 0 }).data;
    const along = layerNorm(x).data;
    expect(bitsOf(across.map((_, i) => across[(i % 9) * 24 + Math.floor(i / 9)]!))).toEqual(bitsOf(along));
    expect(bitsOf(layerNorm(x, { axis: 1 }).data)).toEqual(bitsOf(layerNorm(x, { axis: -2 }).data));
  });

  it("read halves exactly and write where they are told to", async () => {
    using engine = await createEngine();
    const halves = { data: Uint16Array.of(0x3f80, 0x4000, 0xbf80, 0x4080), shape: [2, 2], dtype: "bfloat16" as const };
    const whole = { data: Float32Array.of(1, 2, -1, 4), shape: [2, 2] };
    const out = Tensor.zeros([2, 2], "float32", { engine });
    expect(layerNorm(halves, { engine, out })).toBe(out);
    expect(bitsOf(out.toPlain().data as Float32Array)).toEqual(bitsOf(layerNorm(whole).data));
    const place = { data: new Float32Array(4), shape: [2, 2] };
    expect(layerNorm(whole, { out: place })).toBe(place);
    expect(bitsOf(place.data)).toEqual(bitsOf(layerNorm(whole).data));
  });

  it("keep NaN in its row, and take sizes of 0", () => {
    const x = counted(2, 5);
    x.data[7] = Number.NaN;
    const { data } = layerNorm(x);
    expect([...data.subarray(5)].every(Number.isNaN)).toBe(true);
    expect([...data.subarray(0, 5)].every(Number.isFinite)).toBe(true);
    for (const shape of [[0, 5], [3, 0], [0]]) expect(layerNorm(counted(...shape)).shape).toEqual(shape);
  });

  it("refuse what does not fit, by name", async () => {
    const x = counted(2, 5);
    await expectRefusal(() => layerNorm(counted()), "SHAPE", /x.shape is \[\]/);
    await expectRefusal(
      () => layerNorm(x, { weight: counted(4) }),
      "SHAPE",
      /weight.shape is \[4\]; expected \[5\] \(x.shape\[1\]\)/,
    );
    await expectRefusal(() => layerNorm(x, { bias: counted(1, 5) }), "SHAPE", /bias.shape is \[1, 5\]; expected \[5\]/);
    await expectRefusal(() => layerNorm(x, { axis: 2 }), "RANGE", /options.axis/);
    await expectRefusal(() => layerNorm(x, { epsilon: -1 }), "RANGE", /options.epsilon is -1/);
    await expectRefusal(() => rmsNorm(x, { epsilon: 1e39 }), "RANGE", /options.epsilon/);
    await expectRefusal(() => rmsNorm(x, { bias: counted(5) } as never), "OPTION", /there is no option "bias"/);
    await expectRefusal(() => layerNorm({ data: new Int32Array(2), shape: [2] }), "DTYPE", /x is int32/);
    await expectRefusal(() => layerNorm(x, { out: x }), "OVERLAP", /out shares memory with x/);
    await expectRefusal(() => layerNorm(x, { out: counted(5, 2) }), "SHAPE", /out.shape/);
  });
});
