/** Linear and LayerNorm with held weights: the bits of the functions, memory and refusals. */
import { createEngine, init, layerNorm, linear, Tensor } from "saccade";
import { LayerNorm, Linear } from "saccade/nn";
import { beforeAll, describe, expect, it } from "vitest";
import { bitsOf } from "../api/oracle.ts";
import { expectRefusal, thrownBy } from "../api/refusal.ts";
import { painted } from "./classic.ts";

beforeAll(() => init());

describe("Linear", () => {
  it.each([
    [1, 3, 2],
    [1, 64, 32],
    [1, 300, 37],
    [2, 519, 65],
    [3, 130, 65],
    [6, 65, 33],
    [7, 1100, 34],
    [260, 70, 40],
  ])("gives the bits of linear: %i x %i -> %i", (rows, inner, outer) => {
    const [x, weight, bias] = [painted(1, rows, inner), painted(2, outer, inner), painted(3, outer)];
    using layer = new Linear({ "fc.weight": weight, "fc.bias": bias }, { prefix: "fc.", activation: "silu" });
    expect([layer.inFeatures, layer.outFeatures]).toEqual([inner, outer]);
    const { data, shape } = layer.forward(x);
    expect(shape).toEqual([rows, outer]);
    expect(bitsOf(data)).toEqual(bitsOf(linear(x, weight, { bias, activation: "silu" }).data));
    using plain = new Linear({ weight });
    expect(bitsOf(plain.forward(x).data)).toEqual(bitsOf(linear(x, weight).data));
  });

  it("keeps the rank of x, and is not changed by what becomes of the weights given", () => {
    const weight = painted(2, 4, 3);
    using layer = new Linear({ weight });
    const x = painted(1, 2, 5, 3);
    const before = bitsOf(layer.forward(x).data);
    weight.data.fill(7);
    expect(layer.forward(x).shape).toEqual([2, 5, 4]);
    expect(bitsOf(layer.forward(x).data)).toEqual(before);
    expect(layer.forward(painted(1, 3)).shape).toEqual([4]);
    expect(layer.forward(painted(1, 0, 3)).shape).toEqual([0, 4]);
  });
});

describe("LayerNorm", () => {
  it("gives the bits of layerNorm", () => {
    const [x, weight, bias] = [painted(1, 3, 70), painted(2, 70), painted(3, 70)];
    using norm = new LayerNorm(
      new Map([
        ["n.weight", weight],
        ["n.bias", bias],
      ]),
      { prefix: "n.", epsilon: 1e-3 },
    );
    expect(norm.features).toBe(70);
    expect(bitsOf(norm.forward(x).data)).toEqual(bitsOf(layerNorm(x, { weight, bias, epsilon: 1e-3 }).data));
    using plain = new LayerNorm({ weight });
    expect(bitsOf(plain.forward(x).data)).toEqual(bitsOf(layerNorm(x, { weight }).data));
  });
});

describe("both", () => {
  it("live in their engine and give its memory back", async () => {
    const engine = await createEngine();
    const before = engine.stats();
    const layer = new Linear({ weight: painted(1, 4, 3), bias: painted(2, 4) }, { engine });
    const norm = new LayerNorm({ weight: painted(1, 4), bias: painted(2, 4) }, { engine });
    const out = Tensor.zeros([2, 4], "float32", { engine });
    expect(norm.forward(layer.forward(painted(3, 2, 3), { out }))).toMatchObject({ shape: [2, 4] });
    out.dispose();
    layer.dispose();
    norm.dispose();
    norm.dispose();
    expect([layer.disposed, norm.disposed]).toEqual([true, true]);
    expect(engine.stats()).toMatchObject({ liveBytes: before.liveBytes, tensors: before.tensors });
    expect(thrownBy(() => layer.forward(painted(3, 2, 3))).code).toBe("ERR_SACCADE_DISPOSED");
    expect(thrownBy(() => norm.forward(painted(3, 2, 4))).code).toBe("ERR_SACCADE_DISPOSED");
    engine.dispose();
  });

  it("name what is wrong", async () => {
    const weight = painted(1, 4, 3);
    await expectRefusal(() => new Linear({ bias: weight }), "ARGUMENT", /there is no weight "weight"/);
    await expectRefusal(() => new Linear({ weight: painted(1, 4) }), "SHAPE", /weight.shape is \[4\]/);
    await expectRefusal(
      () => new Linear({ weight, bias: painted(1, 3) }),
      "SHAPE",
      /bias.shape is \[3\]; expected \[4\] \(outFeatures\)/,
    );
    await expectRefusal(() => new Linear({ weight }, { activation: "gelu" as never }), "OPTION", /activation/);
    const infinite = { data: Float32Array.of(1, Number.POSITIVE_INFINITY), shape: [1, 2] };
    await expectRefusal(() => new Linear({ weight: infinite }), "RANGE", /weight/);
    using layer = new Linear({ weight });
    await expectRefusal(() => layer.forward(painted(1, 2, 4)), "SHAPE", /x.shape\[1\] \(inFeatures\) is 4/);
    await expectRefusal(() => layer.forward(painted(1, 2, 3), { bias: weight } as never), "OPTION", /"bias"/);
    await expectRefusal(() => new LayerNorm({ weight }), "SHAPE", /weight.shape is \[4, 3\]; expected \[features\]/);
    await expectRefusal(
      () => new LayerNorm({ weight: painted(1, 4), bias: painted(1, 3) }),
      "SHAPE",
      /bias.shape is \[3\]; expected \[4\]/,
    );
    using norm = new LayerNorm({ weight: painted(1, 4) });
    await expectRefusal(() => norm.forward(painted(1, 2, 3)), "SHAPE", /x.shape is \[2, 3\]; expected \[..., 4\]/);
    await expectRefusal(() => new LayerNorm({ weight: painted(1, 4) }, { epsilon: -1 }), "RANGE", /epsilon is -1/);
  });
});
