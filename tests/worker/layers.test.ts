// Layers and the functions over feature maps, answered by a worker: the bits and the words of the direct ones.
import * as saccade from "saccade";
import * as nn from "saccade/nn";
import * as vision from "saccade/vision";
import { createWorkerEngine, type WorkerEngine, type WorkerTensor } from "saccade/worker";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { counted } from "./cases.ts";
import { refusal } from "./expected.ts";
import { layerCases } from "./layer-cases.ts";
import { outcomeOf, same, sameError, sameOutcome } from "./same.ts";
import { visionCases } from "./vision-cases.ts";

type Callable = (...args: unknown[]) => unknown;
type Layer = Record<string, unknown> & Disposable;
const methodOf = (layer: Layer, name: string) => (layer[name] as Callable).bind(layer);
const classes = nn as unknown as Record<string, (new (...args: unknown[]) => Layer) & Record<string, Callable>>;

let remote: WorkerEngine;
beforeAll(async () => {
  await saccade.init();
  remote = await createWorkerEngine();
});
afterAll(() => remote.dispose());

const makers = () => remote.nn as unknown as Record<string, Record<string, Callable>>;

describe("layers in a worker", () => {
  it.each(layerCases.map((each, index) => [`${each.layer}, case ${index}`, each] as const))("%s", async (_, each) => {
    const { layer, by, args, calls } = each;
    const expected = await outcomeOf(() => (by ? classes[layer]![by]!(...args()) : new classes[layer]!(...args())));
    const actual = await outcomeOf(() => makers()[layer]![by ?? "create"]!(...args()));
    if ("error" in expected) {
      sameError((actual as { error: Error }).error, expected.error, layer);
      return;
    }
    using direct = expected.value as Layer;
    using there = (actual as { value: Layer }).value;
    for (const { method, args } of calls) {
      const outcome = await outcomeOf(() => methodOf(direct, method)(...args()));
      sameOutcome(await outcomeOf(() => methodOf(there, method)(...args())), outcome, `${layer}.${method}`);
    }
  });

  it("say what the direct ones say, and give their memory back", async () => {
    const weights = { weight_ih_l0: counted(12, 3), weight_hh_l0: counted(12, 4) };
    const gru = await remote.nn.GRU.create(weights);
    using direct = new nn.GRU(weights);
    for (const fact of ["numLayers", "bidirectional", "inputSize", "hiddenSize"] as const) {
      expect(gru[fact]).toBe(direct[fact]);
    }
    expect(gru.disposed).toBe(false);
    gru.dispose();
    expect(gru.disposed).toBe(true);
    await expect(gru.forward(counted(1, 2, 3))).rejects.toEqual(refusal("DISPOSED"));
    expect((await remote.stats()).tensors).toBe(0);
  });

  it("use tensors of the worker where they lie", async () => {
    const weight = await remote.Tensor.from(counted(4, 4));
    const layer = await remote.nn.Linear.create({ weight });
    const x = await remote.Tensor.from(counted(3, 4));
    const out = await remote.Tensor.zeros([3, 4]);
    expect(await layer.forward(x, { out })).toBe(out);
    same(await (out as WorkerTensor).toPlain(), saccade.linear(counted(3, 4), counted(4, 4)), "out");
    const forward = layer.forward(counted(3, 4), { out: counted(3, 4) });
    await expect(forward).rejects.toEqual(refusal("UNSUPPORTED"));
    for (const each of [weight, layer, x, out]) each.dispose();
  });

  it("stop with the signal's reason, and tell progress", async () => {
    using layer = await remote.nn.Linear.create({ weight: counted(64, 64) });
    let told = 0;
    await layer.forward(counted(64, 64), { onProgress: ({ done, total }) => (told = done / total) });
    expect(told).toBe(1);
    const signal = AbortSignal.abort("enough");
    await expect(layer.forward(counted(64, 64), { signal })).rejects.toBe("enough");
    await expect(remote.nn.Linear.create({ weight: counted(4, 4) }, { signal })).rejects.toBe("enough");
  });
});

describe("functions over feature maps in a worker", () => {
  const here = vision as unknown as Record<string, Callable>;
  const there = () => remote.vision as unknown as Record<string, Callable>;
  it.each(visionCases.map((each, index) => [`${each.name}, case ${index}`, each] as const))("%s", async (_, each) => {
    const expected = await outcomeOf(() => here[each.name]!(...each.args()));
    sameOutcome(await outcomeOf(() => there()[each.name]!(...each.args())), expected, each.name);
  });
});
