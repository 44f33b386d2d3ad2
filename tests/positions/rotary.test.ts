/** Rotary positions against recorded cases, the papers' formulas in f64, and what they are for. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { attention, init, type RopeOptions, type RopeScaling, rope, Tensor } from "saccade";
import { beforeAll, describe, expect, it } from "vitest";
import { expectRefusal } from "../api/refusal.ts";
import { integersOf, margin, numbersOf, tensorOf } from "../compat/arrays.ts";
import { classic, distance, painted } from "./recorded.ts";

beforeAll(() => init());

describe("recorded cases", () => {
  it.each(["half", "interleaved", "half__partial", "interleaved__partial"])("PyTorch: %s", (name) => {
    const { params, inputs, expected } = classic(`rope__${name}`);
    const positions = inputs.positions;
    const style = name.startsWith("half") ? "half" : "interleaved";
    const { base, rotaryDim } = params;
    const { data, shape } = rope(inputs.x, { style, base, rotaryDim, positions, layout: "bhsd" });
    expect(shape).toEqual(expected.output.shape);
    expect(distance(data, numbersOf(expected.output))).toBeLessThan(4e-7);
  });

  it.each(["3d_input", "with_rotary_dim", "with_interleaved_rotary_dim"])("ONNX: %s", (name) => {
    const path = new URL(`../data/onnx-rotary/test_rotary_embedding_${name}.json`, import.meta.url);
    const node = JSON.parse(readFileSync(path, "utf8"));
    const input = (index: number) => node.inputs.find((each: { index: number }) => each.index === index);
    const { num_heads: heads, interleaved, rotary_embedding_dim: dim } = node.attributes;
    const x = tensorOf(input(0));
    const [batch, seq, width] = x.shape as [number, number, number];
    const shape = heads === undefined ? x.shape : [batch, seq, heads, width / heads];
    const positions = { data: Int32Array.from(integersOf(input(3)), Number), shape: input(3).shape };
    const out = rope(
      { data: x.data, shape },
      {
        layout: heads === undefined ? "bhsd" : "bshd",
        style: interleaved ? "interleaved" : "half",
        rotaryDim: dim || undefined,
        positions,
        tables: { cos: tensorOf(input(1)), sin: tensorOf(input(2)) },
      },
    );
    const expected = numbersOf(tensorOf(node.outputs[0]));
    expect(margin([...out.data], expected, { absolute: node.atol, relative: 1e-5 })).toBeLessThanOrEqual(1);
  });
});

type Frequencies = readonly [number[], number];

/** Inverse frequencies and attention factor as the papers and configurations' code have them, in f64. */
function papers(scaling: RopeScaling | undefined, base: number, dim: number, seqLen: number): Frequencies {
  const plain = (b: number) => Array.from({ length: dim / 2 }, (_, i) => 1 / b ** ((2 * i) / dim));
  const f = plain(base);
  switch (scaling?.type) {
    case undefined:
      return [f, 1];
    case "linear":
      return [f.map((x) => x / scaling.factor), 1];
    case "ntk":
      return [plain(base * scaling.factor ** (dim / (dim - 2))), 1];
    case "dynamic": {
      const { factor, maxPositionEmbeddings: max } = scaling;
      const length = Math.max(seqLen, max);
      return [plain(base * ((factor * length) / max - (factor - 1)) ** (dim / (dim - 2))), 1];
    }
    case "yarn": {
      const { factor, originalMaxPositionEmbeddings: max, betaFast = 32, betaSlow = 1 } = scaling;
      const pair = (turns: number) => (dim * Math.log(max / (turns * 2 * Math.PI))) / (2 * Math.log(base));
      const low = Math.max(Math.floor(pair(betaFast)), 0);
      const high = Math.min(Math.ceil(pair(betaSlow)), dim - 1);
      const ramp = (i: number) => Math.min(1, Math.max(0, (i - low) / (high - low)));
      return [
        f.map((x, i) => (x / factor) * ramp(i) + x * (1 - ramp(i))),
        scaling.attentionFactor ?? 0.1 * Math.log(factor) + 1,
      ];
    }
    case "llama3": {
      const { factor, originalMaxPositionEmbeddings: max, lowFreqFactor: low, highFreqFactor: high } = scaling;
      const scaled = f.map((x) => {
        const wave = (2 * Math.PI) / x;
        if (wave < max / high) return x;
        if (wave > max / low) return x / factor;
        const smooth = (max / wave - low) / (high - low);
        return ((1 - smooth) * x) / factor + smooth * x;
      });
      return [scaled, 1];
    }
    case "longrope": {
      const { shortFactor, longFactor, originalMaxPositionEmbeddings: max, factor = 1 } = scaling;
      const divisors = seqLen > max ? longFactor : shortFactor;
      return [f.map((x, i) => x / Math.fround(divisors[i]!)), Math.sqrt(1 + Math.log(factor) / Math.log(max))];
    }
  }
}

/** Turns `[seq, dim]` in f64, pairs i and i + dim / 2. */
function turned(x: ArrayLike<number>, dim: number, positions: readonly number[], [f, factor]: Frequencies): number[] {
  return Array.from(x, (value, at) => {
    const [row, column] = [Math.floor(at / dim), at % dim];
    const pair = column % (dim / 2);
    const angle = positions[row]! * f[pair]!;
    const partner = x[row * dim + ((column + dim / 2) % dim)]!;
    return factor * (value * Math.cos(angle) + (column < dim / 2 ? -1 : 1) * partner * Math.sin(angle));
  });
}

const lists = {
  shortFactor: Array.from({ length: 16 }, (_, i) => 1 + i / 16),
  longFactor: new Float64Array(16).fill(5.3),
};

describe("scalings", () => {
  const scalings: readonly (RopeScaling | undefined)[] = [
    undefined,
    { type: "linear", factor: 4 },
    { type: "ntk", factor: 8 },
    { type: "dynamic", factor: 2, maxPositionEmbeddings: 2048 },
    { type: "yarn", factor: 16, originalMaxPositionEmbeddings: 4096 },
    { type: "yarn", factor: 4, originalMaxPositionEmbeddings: 4096, betaFast: 16, betaSlow: 2, attentionFactor: 0.8 },
    { type: "llama3", factor: 8, originalMaxPositionEmbeddings: 8192, lowFreqFactor: 1, highFreqFactor: 4 },
    { type: "longrope", ...lists, originalMaxPositionEmbeddings: 4096, factor: 32 },
  ];
  it.each(scalings.map((scaling) => [scaling?.type ?? "none", scaling] as const))("%s is the paper's", (_, scaling) => {
    const x = painted(3, 4, 32);
    for (const base of [10_000, 500_000]) {
      for (const positions of [
        [0, 1, 2, 3],
        [4000, 17, 2, 90_000],
        [-5, 3, 0, 131_071],
      ]) {
        const { data } = rope(x, { base, positions, scaling });
        const seqLen = Math.max(...positions) + 1;
        expect(distance(data, turned(x.data, 32, positions, papers(scaling, base, 32, seqLen)))).toBeLessThan(4e-7);
      }
    }
  });

  it("can be told the length of the sequence", () => {
    const x = painted(3, 1, 32);
    const scaling = { type: "longrope", ...lists, originalMaxPositionEmbeddings: 4096 } as const;
    const long = rope(x, { offset: 7, scaling, seqLen: 5000 });
    expect(distance(long.data, turned(x.data, 32, [7], papers(scaling, 10_000, 32, 5000)))).toBeLessThan(4e-7);
    expect(distance(long.data, rope(x, { offset: 7, scaling }).data)).toBeGreaterThan(0.01);
  });
});

describe("rope", () => {
  it("leaves position 0 and the columns past rotaryDim as they are", () => {
    const x = painted(1, 2, 1, 3, 10);
    expect(rope(x).data).toEqual(x.data);
    const { data } = rope(x, { offset: 9, rotaryDim: 4 });
    expect(data.every((value, at) => at % 10 < 4 || value === x.data[at])).toBe(true);
    expect(data.filter((value, at) => at % 10 < 4 && value !== x.data[at])).toHaveLength(24);
  });

  it("is the same for each layout, rank, batch row and way to say positions", () => {
    const sizes = fc.record({
      batch: fc.integer({ min: 1, max: 3 }),
      seq: fc.integer({ min: 1, max: 20 }),
      heads: fc.integer({ min: 1, max: 3 }),
      pairs: fc.integer({ min: 1, max: 9 }),
      offset: fc.integer({ min: -1000, max: 1000 }),
      style: fc.constantFrom("half" as const, "interleaved" as const),
    });
    fc.assert(
      fc.property(sizes, ({ batch, seq, heads, pairs, offset, style }) => {
        const dim = 2 * pairs + 1;
        const x = painted(pairs, batch, seq, heads, dim);
        const options: RopeOptions = { style, offset, rotaryDim: 2 * pairs };
        const { data } = rope(x, options);
        const row = (b: number, i: number, h: number) => ((b * seq + i) * heads + h) * dim;
        const listed = Array.from({ length: seq }, (_, i) => offset + i);
        const each = {
          data: Int32Array.from({ length: batch * seq }, (_, t) => listed[t % seq]!),
          shape: [batch, seq],
        };
        for (const positions of [listed, each]) {
          expect(rope(x, { style, rotaryDim: 2 * pairs, positions }).data).toEqual(data);
        }
        const swapped = { data: new Float32Array(x.data.length), shape: [batch, heads, seq, dim] };
        const back = new Float32Array(x.data.length);
        const eachRow = (then: (from: number, to: number) => void) => {
          for (let b = 0; b < batch; b++)
            for (let i = 0; i < seq; i++)
              for (let h = 0; h < heads; h++) then(row(b, i, h), ((b * heads + h) * seq + i) * dim);
        };
        eachRow((from, to) => swapped.data.set(x.data.subarray(from, from + dim), to));
        const outside = rope(swapped, { ...options, layout: "bhsd" }).data;
        eachRow((to, from) => back.set(outside.subarray(from, from + dim), to));
        expect(back).toEqual(data);
        const one = { data: x.data.slice(0, dim), shape: [1, dim] };
        expect([...rope(one, options).data]).toEqual([...data.slice(0, dim)]);
      }),
      { numRuns: 60 },
    );
  });

  it("makes scores depend on distances alone", () => {
    const [query, key] = [painted(1, 1, 5, 2, 16), painted(2, 1, 5, 2, 16)];
    const scores = (offset: number) =>
      attention(rope(query, { offset }), rope(key, { offset }), key, { tap: "raw" }).scores.data;
    expect(distance(scores(0), scores(1000))).toBeLessThan(4e-6);
    expect(distance(scores(0), attention(query, key, key, { tap: "raw" }).scores.data)).toBeGreaterThan(0.5);
  });

  it("works in place", () => {
    const x = painted(1, 2, 9, 3, 8);
    const expected = [...rope(x, { offset: 5, rotaryDim: 6 }).data];
    using resident = Tensor.from(x);
    expect(rope(resident, { offset: 5, rotaryDim: 6, out: resident })).toBe(resident);
    expect([...resident.toPlain().data]).toEqual(expected);
    rope(x, { offset: 5, rotaryDim: 6, out: x });
    expect([...x.data]).toEqual(expected);
  });

  it("takes half precision, empty sequences and NaN", () => {
    const half = { data: new Uint16Array([0x3c00, 0x4000]), shape: [1, 2], dtype: "bfloat16" as const };
    expect(rope(half, { offset: 3 }).dtype).toBe("float32");
    expect(rope(painted(1, 2, 0, 3, 4)).shape).toEqual([2, 0, 3, 4]);
    expect(rope(painted(1, 2, 0, 3, 4), { positions: [] }).shape).toEqual([2, 0, 3, 4]);
    expect(rope(painted(1, 0, 2, 3, 4)).shape).toEqual([0, 2, 3, 4]);
    const { data } = rope({ data: Float32Array.of(Number.NaN, 1, 2, 3), shape: [1, 4] }, { rotaryDim: 2 });
    expect([...new Uint32Array(data.buffer).slice(0, 2)]).toEqual([0x7fc00000, 0x7fc00000]);
    expect([...data.slice(2)]).toEqual([2, 3]);
  });

  it("refuses what does not fit", async () => {
    const x = painted(1, 1, 4, 2, 8);
    const refuse = (options: object, code: string, message: RegExp) =>
      expectRefusal(() => rope(x, options as RopeOptions), code, message);
    await refuse({ rotaryDim: 3 }, "RANGE", /rotaryDim is 3; expected an even number/);
    await refuse({ rotaryDim: 10 }, "RANGE", /rotaryDim is 10; expected an integer from 2 to 8/);
    await refuse({ positions: [1, 2] }, "SHAPE", /positions has shape \[2\]; expected \[4\] \(seq\) or \[1, 4\]/);
    await refuse({ positions: [1, 2, 3, 4], offset: 1 }, "OPTION", /offset and options.positions contradict/);
    await refuse({ positions: [1, 2, 3, 2 ** 31] }, "RANGE", /positions\[3\]/);
    await refuse({ offset: 2 ** 31 - 2 }, "RANGE", /last position would pass/);
    await refuse({ base: 0 }, "RANGE", /base is 0/);
    await refuse({ style: "neox" }, "OPTION", /style is "neox"; expected "half" or "interleaved"/);
    await refuse({ scaling: { type: "linear" } }, "ARGUMENT", /scaling.factor is undefined/);
    await refuse({ scaling: { type: "linear", factor: 0.5 } }, "RANGE", /factor is 0.5; expected at least 1/);
    await refuse({ scaling: { type: "linear", factor: 2, betaFast: 1 } }, "OPTION", /betaFast is given/);
    await refuse({ scaling: { type: "yarn", factor: 2 } }, "ARGUMENT", /originalMaxPositionEmbeddings/);
    await refuse({ scaling: { type: "su", factor: 2 } }, "OPTION", /scaling.type is "su"/);
    await refuse({ scaling: { type: "ntk", factor: 2 }, rotaryDim: 2 }, "RANGE", /rotaryDim of at least 4/);
    const longrope = { type: "longrope", originalMaxPositionEmbeddings: 8, shortFactor: [1, 1, 1, 1] };
    await refuse({ scaling: { ...longrope, longFactor: [1, 1] } }, "SHAPE", /longFactor has 2 entries/);
    await refuse({ scaling: { ...longrope, longFactor: [1, 1, 0.1, 1] } }, "RANGE", /longFactor\[2\]/);
    const tables = { cos: painted(1, 3, 4), sin: painted(1, 3, 4) };
    await refuse({ tables }, "RANGE", /position 3 is no row of options.tables.cos, which has 3/);
    await refuse({ tables, base: 10 }, "OPTION", /tables and options.base contradict/);
    await refuse({ tables: { ...tables, sin: painted(1, 4, 4) } }, "SHAPE", /tables.sin.shape is \[4, 4\]/);
    await expectRefusal(() => rope(painted(1, 4, 7)), "SHAPE", /is 7; expected an even number, or options.rotaryDim/);
    await expectRefusal(() => rope(painted(1, 8)), "SHAPE", /x.shape has 1 axes/);
  });
});
