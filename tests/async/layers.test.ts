// The twins of a layer's methods: the same bits, one after the other, while the layer may be disposed of or lent weights changed.
import { attentionAsync, type Engine, type Progress, Tensor } from "saccade";
import * as nn from "saccade/nn";
import { describe, expect, it, vi } from "vitest";
import { counted } from "../worker/cases.ts";
import { refusal } from "../worker/expected.ts";
import { type LayerCase, layerCases } from "../worker/layer-cases.ts";
import { outcomeOf, same } from "../worker/same.ts";
import { bothEngines, expectSame } from "./engines.ts";

type Layer = Record<string, (...args: unknown[]) => unknown> & Disposable;
type LayerClass = (new (...args: unknown[]) => Layer) & Record<string, (...args: unknown[]) => Layer>;
const classes = nn as unknown as Record<string, LayerClass>;
const engines = bothEngines();
const busy = refusal("BUSY");

/** Makes a layer on an engine, which goes among the last argument's options. */
function make({ layer, by, args }: LayerCase, engine: Engine): Layer {
  const given = [...args()];
  given.push({ ...(given.pop() as object), engine });
  return by === undefined ? new classes[layer]!(...given) : classes[layer]![by]!(...given);
}

describe("twins of methods", () => {
  const made = layerCases.filter(({ calls }) => calls.length > 0);
  it.each(made.map((each, index) => [`${each.layer}, case ${index}`, each] as const))("%s", async (_, each) => {
    for (const engine of engines) {
      using direct = make(each, engine);
      using asynchronous = make(each, engine);
      for (const { method, args } of each.calls) {
        if (method === "encode") {
          // Both hold what they encode.
          const expected = await outcomeOf(() => direct[method]!(...args()));
          same(await outcomeOf(() => asynchronous[`${method}Async`]!(...args())), expected, method);
          continue;
        }
        const twin = () => asynchronous[`${method}Async`]!(...args());
        await expectSame(engine, () => direct[method]!(...args()), twin, `${each.layer}.${method}`);
      }
    }
  });

  it("take their turn, tell progress, and stop with the signal's reason", async () => {
    const engine = engines[0]!;
    using layer = new nn.Linear({ weight: counted(256, 256) }, { engine });
    const x = counted(512, 256);
    const live = engine.stats().liveBytes;
    const expected = layer.forward(x);
    const seen: Progress[] = [];
    const abort = new AbortController();
    const pending = [
      layer.forwardAsync(x, { onProgress: (progress) => seen.push(progress) }),
      layer.forwardAsync(x, { signal: abort.signal }),
      layer.forwardAsync(x),
    ];
    abort.abort("enough");
    const outcomes = await Promise.allSettled(pending);
    expect(outcomes[1]).toEqual({ status: "rejected", reason: "enough" });
    for (const index of [0, 2]) same(await pending[index], expected, "out");
    expect(seen.at(-1)!.done).toBe(seen.at(-1)!.total);
    expect(engine.stats().liveBytes).toBe(live);
  });

  it("a recurrence is cut where it is long, in both directions and for rows of any length", async () => {
    const engine = engines[0]!;
    const hidden = 32;
    const names = ["l0", "l0_reverse", "l1", "l1_reverse"];
    const weights = Object.fromEntries(
      names.flatMap((name, index) => [
        [`weight_ih_${name}`, counted(3 * hidden, index < 2 ? 3 : 2 * hidden)],
        [`weight_hh_${name}`, counted(3 * hidden, hidden)],
        [`bias_hh_${name}`, counted(3 * hidden)],
      ]),
    );
    using gru = new nn.GRU(weights, { engine });
    const { liveBytes } = engine.stats();
    const now = vi.spyOn(performance, "now").mockImplementation(() => now.mock.calls.length * 6);
    for (const [shape, options] of [
      [[3, 2500, 3], { h0: counted(4, 3, hidden), lengths: [2500, 1600, 0] }],
      [[4000, 3], {}],
    ] as const) {
      const x = counted(...shape);
      let told = 0;
      const result = await gru.forwardAsync(x, { ...options, onProgress: () => (told += 1) });
      same(result, gru.forward(x, options), "forward");
      expect(told).toBeGreaterThan(16);
    }
    now.mockRestore();
    expect(engine.stats().liveBytes).toBe(liveBytes);
  });

  it("read what they are given before they return, and keep what they write for themselves", async () => {
    const engine = engines[0]!;
    using layer = new nn.Linear({ weight: counted(4, 4) }, { engine });
    using out = Tensor.zeros([3, 4], "float32", { engine });
    const x = counted(3, 4);
    const promise = layer.forwardAsync(x, { out });
    x.data.fill(9);
    expect(() => out.toPlain()).toThrow(busy);
    expect(await promise).toBe(out);
    same(out.toPlain(), layer.forward(counted(3, 4)), "out");
  });

  it("a getter of the options runs outside the record", async () => {
    const engine = engines[0]!;
    using layer = new nn.Linear({ weight: counted(4, 4) }, { engine });
    const x = counted(3, 4);
    const expected = layer.forward(x);
    let between: unknown;
    const options = {
      get out() {
        between = layer.forward(x, {});
        return undefined;
      },
    };
    same(await layer.forwardAsync(x, options as object), expected, "out");
    same(between, expected, "between");
  });

  it("a layer that is disposed of meanwhile answers, then gives its memory back", async () => {
    const engine = engines[0]!;
    const { liveBytes, tensors } = engine.stats();
    const layer = new nn.GRU({ weight_ih_l0: counted(12, 3), weight_hh_l0: counted(12, 4) }, { engine });
    const x = counted(2, 5, 3);
    const expected = layer.forward(x);
    const promise = layer.forwardAsync(x);
    layer.dispose();
    same(await promise, expected, "forward");
    expect(engine.stats()).toMatchObject({ liveBytes, tensors });
    await expect(layer.forwardAsync(x)).rejects.toEqual(refusal("DISPOSED"));
  });

  it("a weight that is lent is read, so that nobody may write it; and waited for where it is written", async () => {
    const engine = engines[0]!;
    using weight = Tensor.from(counted(8, 8), { engine });
    using layer = new nn.MultiHeadAttention({
      ...{ wq: weight, wk: counted(8, 8), wv: counted(8, 8), wo: counted(8, 8), numHeads: 2, engine },
    });
    const x = counted(8, 8);
    const reading = layer.forwardAsync(x);
    const writing = attentionAsync(x, x, x, { out: weight, engine });
    expect(() => layer.forward(x)).toThrow(busy);
    const after = layer.forwardAsync(x);
    const { out: first } = await reading;
    await writing;
    const { out: second } = await after;
    same(second, layer.forward(x).out, "after");
    expect([...first.data]).not.toEqual([...second.data]);
  });
});

describe("a decoder that encodes meanwhile", () => {
  const weights = { wq: counted(6, 4), wk: counted(6, 5), v: counted(6) };
  const gru = { weight_ih: counted(12, 8), weight_hh: counted(12, 4) };
  const [embedding, hidden] = [counted(2, 3), counted(2, 4)];
  const [earlier, later] = [counted(2, 7, 5), counted(2, 9, 5)];

  it("attends to the earlier outputs until it has, and steps under way stay with theirs", async () => {
    const engine = engines[0]!;
    using decoder = new nn.BahdanauDecoder({ ...weights, gru, engine });
    decoder.encode(later);
    const expectedLater = decoder.step(embedding, hidden);
    decoder.encode(earlier);
    const { liveBytes } = engine.stats();
    const expected = decoder.step(embedding, hidden);
    const step = decoder.stepAsync(embedding, hidden);
    const encoded = decoder.encodeAsync(later);
    same(decoder.step(embedding, hidden), expected, "in between");
    await encoded;
    same(await step, expected, "under way");
    same(decoder.step(embedding, hidden), expectedLater, "afterwards");
    decoder.encode(earlier);
    expect(engine.stats().liveBytes).toBe(liveBytes);
  });

  it("keeps them where it is stopped, and gives back what it had taken", async () => {
    const engine = engines[0]!;
    const before = engine.stats();
    const decoder = new nn.BahdanauDecoder({ ...weights, gru, engine });
    decoder.encode(earlier);
    const { liveBytes } = engine.stats();
    const expected = decoder.step(embedding, hidden);
    const abort = new AbortController();
    const encoded = decoder.encodeAsync(later, { signal: abort.signal });
    abort.abort("enough");
    await expect(encoded).rejects.toBe("enough");
    same(decoder.step(embedding, hidden), expected, "afterwards");
    expect(engine.stats().liveBytes).toBe(liveBytes);
    const last = decoder.encodeAsync(later);
    decoder.dispose();
    await last;
    expect(engine.stats()).toMatchObject({ liveBytes: before.liveBytes, tensors: before.tensors });
  });

  it("refuses options that a step does not have", async () => {
    using decoder = new nn.BahdanauDecoder({ ...weights, gru, engine: engines[0] });
    decoder.encode(earlier);
    await expect(decoder.stepAsync(embedding, hidden, { kvLengths: [1] } as object)).rejects.toEqual(refusal("OPTION"));
  });
});
