/** Every layer and every function over feature maps, on just more than is worth sharing. */
import { about, both, call, type Engine, type Packages, paint, type ThreadCase } from "./case.ts";

interface Layer {
  dispose(): void;
}

/** A layer's method, on a layer that is made for it. */
const method = (
  name: string,
  make: (layers: Packages["saccade/nn"], engine: Engine) => Layer,
  ...args: readonly unknown[]
): ThreadCase => ({
  ...{ from: "saccade/nn", name },
  async *run(packages, engine) {
    const layer = make(packages["saccade/nn"], engine);
    yield* both(layer, name.slice(name.indexOf(".") + 1), args);
    layer.dispose();
  },
});

const width = 256;
const projections = () => ({
  ...{ wq: paint(1, width, width), wk: paint(2, width, width), wv: paint(3, width, width), wo: paint(4, width, width) },
  ...{ bq: paint(5, width), bo: paint(6, width), numHeads: 4 },
});
const gru = (hidden: number, input: number) => ({
  ...{ weight_ih_l0: paint(1, 3 * hidden, input), weight_hh_l0: paint(2, 3 * hidden, hidden) },
  ...{ bias_ih_l0: paint(3, 3 * hidden), bias_hh_l0: paint(4, 3 * hidden) },
});

const decoder = (engine: Engine) => {
  const { weight_ih_l0, weight_hh_l0 } = gru(64, 112);
  const cell = { weight_ih: weight_ih_l0, weight_hh: weight_hh_l0 };
  return { wq: paint(1, 48, 64), wk: paint(2, 48, 80), v: paint(3, 48), gru: cell, engine };
};
const sequences = (queries: number, keys: number) => [
  paint(7, 1, queries, width),
  ...[8, 9].map((seed) => paint(seed, 1, keys, width)),
];

/** The cases of `saccade/nn`. */
export const layerCases: readonly ThreadCase[] = [
  method(
    "Linear.forward",
    ({ Linear }, engine) => new Linear({ weight: paint(1, 1500, 1401) }, { engine }),
    paint(2, 5, 1401),
  ),
  method(
    "LayerNorm.forward",
    ({ LayerNorm }, engine) => new LayerNorm({ weight: paint(1, 512), bias: paint(2, 512) }, { engine }),
    paint(3, 2100, 512),
  ),
  method("GRU.forward", ({ GRU }, engine) => new GRU(gru(64, 96), { engine }), paint(5, 40, 20, 96)),
  method(
    "MultiHeadAttention.forward",
    ({ MultiHeadAttention }, engine) => new MultiHeadAttention({ ...projections(), engine }),
    ...sequences(150, 140),
    { returnWeights: true },
  ),
  about(
    "additive heads",
    method(
      "MultiHeadAttention.forward",
      ({ MultiHeadAttention }, engine) =>
        new MultiHeadAttention({ ...projections(), score: "additive", v: paint(10, 4, 64), engine }),
      ...sequences(70, 80),
    ),
  ),
  method(
    "BahdanauDecoder.encode",
    ({ BahdanauDecoder }, engine) => new BahdanauDecoder(decoder(engine)),
    paint(5, 32, 190, 80),
  ),
  method(
    "BahdanauDecoder.step",
    ({ BahdanauDecoder }, engine) => {
      const made = new BahdanauDecoder(decoder(engine));
      made.encode(paint(5, 32, 190, 80));
      return made;
    },
    paint(6, 32, 32),
    paint(7, 32, 64),
  ),
];

const vision = (name: string, x: () => object, options: () => object): ThreadCase =>
  call("saccade/vision", name, () => [x()], options);

const map = () => paint(1, 4, 64, 96, 90);
const bottleneck = () => ({ w1: paint(2, 8, 64), b1: paint(3, 8), w2: paint(4, 64, 8), b2: paint(5, 64) });
const conv = () => paint(6, 1, 2, 7, 7);

/** The cases of `saccade/vision`. */
export const visionCases: readonly ThreadCase[] = [
  vision("channelAttention", map, bottleneck),
  vision("squeezeExcite", map, bottleneck),
  vision(
    "spatialAttention",
    () => paint(1, 4, 8, 270, 260),
    () => ({ conv: conv() }),
  ),
  vision("cbam", map, () => ({ ...bottleneck(), conv: conv(), returnWeights: true })),
  vision("eca", map, () => ({ w: paint(2, 3) })),
  vision(
    "elementwiseAttention",
    () => paint(1, 2, 16, 50, 61),
    () => ({ w: paint(2, 16, 16, 3, 3) }),
  ),
  vision("spatialSoftmaxAttention", map, () => ({ w: paint(2, 1, 64, 3, 3), returnMap: true })),
  vision("channelSoftmaxAttention", map, () => ({ w: paint(2, 64, 64), bias: paint(3, 64), returnMap: true })),
];
