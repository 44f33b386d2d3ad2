// planAttention: blocks, pairs and scratch memory of a call that is not run.
import { attention, BitMask, createEngine, init, planAttention, Tensor } from "saccade";
import { describe, expect, it } from "vitest";
import { expectRefusal } from "./refusal.ts";

const shapes = (batch: number, qLen: number, kvLen: number, heads = 1, kvHeads = heads, dim = 64) => ({
  query: [batch, qLen, heads, dim],
  key: [batch, kvLen, kvHeads, dim],
  value: [batch, kvLen, kvHeads, dim],
});

describe("blocks", () => {
  it("all of them, of every batch row and head", () => {
    const plan = planAttention(shapes(2, 130, 200, 6, 2));
    expect(plan.blocks).toEqual({ full: 2 * 6 * 3 * 4, partial: 0, skipped: 0 });
    expect(plan.flops).toBe(2 * 128 * 2 * 6 * 130 * 200);
    expect(plan.kernel).toBe("tile-4x8");
  });

  it("causal: a triangle", () => {
    const plan = planAttention(shapes(1, 256, 256), { causal: true });
    expect(plan.blocks).toEqual({ full: 6, partial: 4, skipped: 6 });
    expect(plan.flops).toBe((2 * 128 * 256 * 257) / 2);
  });

  it("a window of 256 keys in 4,096 is at most 0.12 of all", () => {
    const { blocks, flops } = planAttention(shapes(1, 4096, 4096), { window: { left: 255, right: 0 } });
    expect(blocks.full + blocks.partial).toBe(64 * 5 - (4 + 3 + 2 + 1));
    expect((blocks.full + blocks.partial) / 4096).toBeLessThan(0.12);
    expect(flops).toBe(2 * 128 * (4096 * 256 - (255 * 256) / 2));
  });

  it("kvLengths of 10 in 4,096 costs a block per tile of rows", () => {
    expect(planAttention(shapes(1, 1, 4096), { kvLengths: [10] }).blocks).toEqual({ full: 0, partial: 1, skipped: 63 });
    const { blocks } = planAttention(shapes(2, 128, 4096), { kvLengths: [10, 64], qLengths: [128, 64] });
    expect(blocks).toEqual({ full: 1, partial: 2, skipped: 4 * 64 - 3 });
  });

  it("the first keys beside a window", () => {
    const { blocks, flops } = planAttention(shapes(1, 512, 512), { window: { left: 0, right: 0, first: 64 } });
    expect(blocks).toEqual({ full: 8, partial: 7, skipped: 64 - 15 });
    expect(flops).toBe(2 * 128 * (512 * 64 + 448));
  });

  it("block-diagonal documents", () => {
    const ids = Array.from({ length: 512 }, (_, i) => i >> 7);
    const { blocks } = planAttention(shapes(1, 512, 512, 2), { mask: BitMask.document({ query: ids, key: ids }) });
    expect(blocks).toEqual({ full: 2 * 16, partial: 0, skipped: 2 * 48 });
  });

  it("a mask counts as the rule that it says", () => {
    const size = shapes(2, 150, 190, 4, 2);
    const rules = { causal: true, qOffset: 40, window: { left: 70 } } as const;
    const byRule = planAttention(size, rules);
    const mask = BitMask.causal({ qOffset: 40 }).and(BitMask.window({ left: 70, qOffset: 40 }));
    expect(planAttention(size, { mask })).toEqual(byRule);
    const { data, shape } = mask.toTensor(150, 190);
    expect(planAttention(size, { mask: { data, shape } })).toEqual(byRule);
    using resident = Tensor.from({ data, shape, dtype: "bool" });
    expect(planAttention(size, { mask: resident })).toEqual(byRule);
    expect(planAttention(size, { mask: BitMask.causal(), qOffset: 40, window: { left: 70 } })).toEqual(byRule);
    // Heads and batch rows that differ.
    const columns = { data: Uint8Array.of(1, 0, 0, 0, 1, 1, 0, 1), shape: [2, 4, 1, 1] };
    expect(planAttention(size, { mask: columns }).blocks).toEqual({ full: 4 * 9, partial: 0, skipped: 4 * 9 });
  });

  it("packed sequences, each with its own", () => {
    const size = { query: [200, 2, 64], key: [300, 2, 64], value: [300, 2, 64] };
    const plan = planAttention(size, {
      cuQLens: [0, 64, 200],
      cuKvLens: [0, 64, 300],
      causal: true,
      qOffset: "bottom-right",
    });
    // The second has 136 rows and 236 keys: its rows begin at position 100.
    expect(plan.blocks).toEqual({ full: 2 * (1 + 2 + 3), partial: 2 * (1 + 2 + 2 + 1), skipped: 2 });
  });

  it("packed sequences with lengths, a mask per head and a BitMask: the sum of the sequences", () => {
    const cu = { cuQLens: [0, 64, 200], cuKvLens: [0, 64, 300] };
    const of = (qLen: number, kvLen: number) => ({
      query: [qLen, 2, 64],
      key: [kvLen, 2, 64],
      value: [kvLen, 2, 64],
    });
    const heads = { data: Uint8Array.of(1, 0, 0, 1), shape: [2, 2, 1, 1] };
    const lengths = { kvLengths: [60, 130], qLengths: [64, 100], causal: true, qOffset: "bottom-right" as const };
    const summed = (parts: ReturnType<typeof planAttention>[]) => parts.reduce((all, { flops }) => all + flops, 0);
    const own = (s: number) => ({
      ...lengths,
      kvLengths: [lengths.kvLengths[s]!],
      qLengths: [lengths.qLengths[s]!],
    });
    const bits = (s: number) => ({ data: heads.data.slice(2 * s, 2 * s + 2), shape: [2, 1, 1] });
    const plan = planAttention(of(200, 300), { ...cu, ...lengths, mask: heads });
    expect(plan.flops).toBe(
      summed([
        planAttention(of(64, 64), { ...own(0), mask: bits(0) }),
        planAttention(of(136, 236), { ...own(1), mask: bits(1) }),
      ]),
    );
    const mask = BitMask.prefixLm({ lengths: [3, 7] });
    const alone = (first: number) => BitMask.prefixLm({ lengths: [first] });
    const positions = { qOffset: [0, 100] };
    expect(planAttention(of(200, 300), { ...cu, ...positions, mask }).flops).toBe(
      summed([
        planAttention(of(64, 64), { qOffset: 0, mask: alone(3) }),
        planAttention(of(136, 236), { qOffset: 100, mask: alone(7) }),
      ]),
    );
  });

  it("65,536 x 65,536 is counted quickly", () => {
    const { blocks } = planAttention(shapes(1, 65536, 65536), { causal: true });
    expect(blocks).toEqual({ full: (1024 * 1023) / 2, partial: 1024, skipped: (1024 * 1023) / 2 });
  });
});

describe("scratchBytes", () => {
  it.each([
    [shapes(1, 300, 300), {}],
    [shapes(2, 170, 170, 4, 2), { causal: true }],
    [{ ...shapes(1, 5, 2000, 2, 1, 13), dtype: "float16" as const }, {}],
  ])("is what a call takes: %j", async (size, options) => {
    using engine = await createEngine();
    const { dtype = "float32" } = size as { dtype?: "float16" };
    using query = Tensor.zeros(size.query, "float32", { engine });
    using key = Tensor.zeros(size.key, "float32", { engine });
    using value = Tensor.zeros(size.value, dtype, { engine });
    using out = Tensor.zeros(size.query, "float32", { engine });
    const before = engine.stats().liveBytes;
    const { scratchBytes } = planAttention(size, { ...options, engine });
    expect(engine.stats().liveBytes).toBe(before);
    attention(query, key, value, { ...options, out, engine });
    expect(engine.stats().peakBytes - before).toBe(Math.ceil(scratchBytes / 64) * 64);
  });

  it("needs no memory for the tensors", async () => {
    const before = (await init()).stats().memoryBytes;
    const plan = planAttention(shapes(64, 1 << 20, 4096, 64));
    expect(plan.blocks.full).toBe(64 * 64 * (1 << 14) * 64);
    expect((await init()).stats().memoryBytes).toBe(before);
    expect(planAttention(shapes(0, 5, 5)).scratchBytes).toBe(0);
  });
});

describe("refusals", () => {
  const plan = planAttention as (...args: unknown[]) => unknown;
  const x = [1, 4, 2, 8];
  it.each([
    ["no shapes", [], "ARGUMENT", /^planAttention: shapes is undefined; expected \{ query, key, value \}/],
    ["no key", [{ query: x, value: x }], "ARGUMENT", /^planAttention: shapes\.key is undefined/],
    ["a typo", [{ query: x, keys: x, value: x }], "OPTION", /^planAttention: shapes: there is no option "keys"/],
    ["a size", [{ query: x, key: [1, -4, 2, 8], value: x }], "SHAPE", /^planAttention: shapes\.key\[1\] is -4/],
    [
      "other heads",
      [{ query: x, key: [1, 4, 3, 8], value: [1, 4, 3, 8] }],
      "SHAPE",
      /^planAttention: query\.shape\[2\]/,
    ],
    [
      "an option",
      [{ query: x, key: x, value: x }, { causl: true }],
      "OPTION",
      /^planAttention: there is no option "causl"/,
    ],
    [
      "a missing offset",
      [{ query: x, key: [1, 5, 2, 8], value: [1, 5, 2, 8] }, { causal: true }],
      "OPTION",
      /^planAttention: causal with qLen 4 and kvLen 5 needs options\.qOffset/,
    ],
  ] as const)("%s", (_, args, code, message) => expectRefusal(() => plan(...args), code, message));
});
