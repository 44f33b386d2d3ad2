/** Sinusoidal and learned positions, and ALiBi's slopes. */
import fc from "fast-check";
import {
  addSinusoidalPositions,
  alibiSlopes,
  attention,
  createEngine,
  embedding,
  init,
  sinusoidalPositions,
  Tensor,
} from "saccade";
import { beforeAll, describe, expect, it } from "vitest";
import { expectRefusal } from "../api/refusal.ts";
import { classic, distance, painted } from "./recorded.ts";

beforeAll(() => init());

describe("sinusoidalPositions", () => {
  it.each(["interleaved", "concatenated"] as const)("has the recorded numbers, %s", (layout) => {
    const { params, expected } = classic(`sinusoidal__${layout}`);
    const { data, shape } = sinusoidalPositions(params.length, params.dim, { base: params.base, layout });
    expect(shape).toEqual(expected.encoding.shape);
    expect([...data]).toEqual([...(expected.encoding.data as Float32Array)]);
  });

  it("is the paper's formula for any length, dim, base and offset", () => {
    const sizes = fc.record({
      length: fc.integer({ min: 0, max: 40 }),
      dim: fc.integer({ min: 1, max: 70 }),
      offset: fc.integer({ min: -100_000, max: 100_000 }),
      base: fc.double({ min: 1, max: 1e6, noNaN: true }),
    });
    fc.assert(
      fc.property(sizes, ({ length, dim, offset, base }) => {
        const { data } = sinusoidalPositions(length, dim, { offset, base });
        const expected = Array.from({ length: length * dim }, (_, at) => {
          const column = at % dim;
          const angle = (offset + Math.floor(at / dim)) * base ** (-(2 * Math.floor(column / 2)) / dim);
          return column % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
        });
        expect(distance(data, expected)).toBeLessThan(6.1e-8);
      }),
      { numRuns: 100 },
    );
  });

  it("starts anywhere: a window of a table is the table of the window", () => {
    const { data } = sinusoidalPositions(100, 7, { offset: -50 });
    expect([...sinusoidalPositions(10, 7, { offset: 20 }).data]).toEqual([...data.slice(70 * 7, 80 * 7)]);
    expect(sinusoidalPositions(1, 2, { offset: 2 ** 31 - 1 }).data[0]).toBe(Math.fround(Math.sin(2 ** 31 - 1)));
    expect(sinusoidalPositions(1, 2, { offset: -(2 ** 31) }).data[0]).toBe(Math.fround(Math.sin(-(2 ** 31))));
  });

  it("writes where it is told to, strided too", () => {
    const data = new Float32Array(30).fill(9);
    const out = { data, shape: [3, 4], strides: [10, 1], offset: 2 };
    expect(sinusoidalPositions(3, 4, { out })).toBe(out);
    const { data: rows } = sinusoidalPositions(3, 4);
    const expected = new Float32Array(30).fill(9);
    for (let row = 0; row < 3; row++) expected.set(rows.subarray(row * 4, row * 4 + 4), 2 + row * 10);
    expect(data).toEqual(expected);
  });

  it("refuses what makes no table", async () => {
    await expectRefusal(() => sinusoidalPositions(-1, 4), "RANGE", /length is -1/);
    await expectRefusal(() => sinusoidalPositions(1, 0), "RANGE", /dim is 0/);
    await expectRefusal(() => sinusoidalPositions(1, 4, { base: 0.5 }), "RANGE", /options.base is 0.5/);
    await expectRefusal(() => sinusoidalPositions(2, 4, { offset: 2 ** 31 - 1 }), "RANGE", /last position would pass/);
    await expectRefusal(() => sinusoidalPositions(2, 4, { layout: "split" as never }), "OPTION", /layout is "split"/);
    await expectRefusal(() => sinusoidalPositions(2, 4, { ofset: 1 } as never), "OPTION", /did you mean "offset"/);
    using out = Tensor.empty([2, 5], "float32");
    await expectRefusal(() => sinusoidalPositions(2, 4, { out }), "SHAPE", /out.shape is \[2, 5\]; expected \[2, 4\]/);
  });
});

describe("addSinusoidalPositions", () => {
  it("adds the table to every batch row, x scaled first", () => {
    const x = painted(1, 2, 5, 7);
    const { data: table } = sinusoidalPositions(5, 7, { offset: 3 });
    for (const [scale, factor] of [
      [undefined, 1],
      [0.25, 0.25],
      ["sqrt-dim", Math.fround(Math.sqrt(7))],
    ] as const) {
      const { data, shape } = addSinusoidalPositions(x, { offset: 3, scale });
      expect(shape).toEqual([2, 5, 7]);
      const expected = x.data.map((value, at) => Math.fround(Math.fround(value * factor) + table[at % 35]!));
      expect(data).toEqual(expected);
    }
    expect(addSinusoidalPositions(painted(1, 5, 7)).shape).toEqual([5, 7]);
  });

  it("works in place, where x is resident, an array, or strided", () => {
    const x = painted(1, 3, 20, 6);
    const expected = [...addSinusoidalPositions(x, { scale: 2 }).data];
    using resident = Tensor.from(x);
    expect(addSinusoidalPositions(resident, { scale: 2, out: resident })).toBe(resident);
    expect([...resident.toPlain().data]).toEqual(expected);
    using wide = Tensor.zeros([3, 20, 9], "float32");
    const strided = () => ({ data: wide.view(), shape: [3, 20, 6], strides: [180, 9, 1], offset: 2 });
    for (let row = 0; row < 60; row++) wide.view().set(x.data.subarray(row * 6, row * 6 + 6), row * 9 + 2);
    const within = strided();
    addSinusoidalPositions(within, { scale: 2, out: within });
    const view = wide.view();
    expect(Array.from({ length: 360 }, (_, at) => view[Math.floor(at / 6) * 9 + 2 + (at % 6)])).toEqual(expected);
    expect(view.filter((_, at) => at % 9 < 2 || at % 9 === 8).every((value) => value === 0)).toBe(true);
    addSinusoidalPositions(x, { scale: 2, out: x });
    expect([...x.data]).toEqual(expected);
  });

  it("refuses an out that covers x in part", async () => {
    const data = new Float32Array(100);
    const x = { data, shape: [5, 4], strides: [4, 1] };
    const out = { data, shape: [5, 4], strides: [4, 1], offset: 4 };
    await expectRefusal(() => addSinusoidalPositions(x, { out }), "OVERLAP", /out shares memory with x/);
    await expectRefusal(() => addSinusoidalPositions(painted(1, 4)), "SHAPE", /x.shape is \[4\]/);
    await expectRefusal(() => addSinusoidalPositions(painted(1, 2, 0)), "SHAPE", /\(dim\) is 0/);
  });

  it("is what tells attention the order of its keys", () => {
    const [seq, dim] = [12, 16];
    const x = painted(4, seq, dim);
    const order = [7, 2, 11, 0, 5, 9, 1, 10, 3, 8, 6, 4];
    const permute = (data: Float32Array) =>
      Float32Array.from({ length: seq * dim }, (_, at) => data[order[Math.floor(at / dim)]! * dim + (at % dim)]!);
    const attend = (data: Float32Array<ArrayBuffer>, positions: boolean): Float32Array => {
      const tokens = { data, shape: [seq, dim] };
      const input = positions ? addSinusoidalPositions(tokens) : tokens;
      return attention(input, input, input).out.data as Float32Array;
    };
    const permuted = permute(x.data);
    expect(distance(attend(permuted, false), permute(attend(x.data, false)))).toBeLessThan(1e-6);
    expect(distance(attend(permuted, true), permute(attend(x.data, true)))).toBeGreaterThan(0.1);
  });
});

describe("embedding", () => {
  it("looks up rows, by lists and tensors of any shape", async () => {
    const table = painted(2, 5, 3);
    const row = (index: number) => [...table.data.slice(index * 3, index * 3 + 3)];
    expect([...embedding([4, 0, 4], table).data]).toEqual([4, 0, 4].flatMap(row));
    // The last row of the tensor lies behind what the shape leaves out.
    const indices = { data: Int32Array.of(1, 2, 99, 0, 3), shape: [2, 2], strides: [3, 1] };
    const { data, shape } = embedding(indices, table);
    expect(shape).toEqual([2, 2, 3]);
    expect([...data]).toEqual([1, 2, 0, 3].flatMap(row));
    using resident = Tensor.from({ data: Int32Array.of(3, 1), shape: [2] });
    expect([...embedding(resident, table).data]).toEqual([3, 1].flatMap(row));
    expect(embedding([], table).shape).toEqual([0, 3]);
    const half = { data: new Uint16Array([0x3c00, 0xc000]), shape: [2, 1], dtype: "float16" as const };
    expect([...embedding([1, 0], half).data]).toEqual([-2, 1]);
  });

  it("refuses rows that are not there", async () => {
    const table = painted(2, 5, 3);
    await expectRefusal(
      () => embedding([0, 5], table),
      "RANGE",
      /indices\[1\] is 5; expected a row of the table, which has 5/,
    );
    await expectRefusal(() => embedding([-1], table), "RANGE", /indices\[0\] is -1/);
    await expectRefusal(() => embedding([0.5], table), "RANGE", /0.5/);
    await expectRefusal(() => embedding({ data: new Float32Array(1), shape: [1] }, table), "DTYPE", /expected int32/);
    await expectRefusal(() => embedding([0], painted(1, 3)), "SHAPE", /expected \[n, dim\]/);
    await expectRefusal(
      () => embedding([0], table, { out: { data: table.data, shape: [1, 3] } as never }),
      "SHAPE",
      /./,
    );
    const out = { data: table.data, shape: [1, 3], strides: [3, 1] };
    await expectRefusal(() => embedding([0], table, { out }), "OVERLAP", /out shares memory with table/);
  });

  it("runs on the engine given", async () => {
    using engine = await createEngine();
    expect(engine.stats().liveBytes).toBe(0);
    expect([...embedding([1], painted(2, 5, 3), { engine }).data]).toEqual([...painted(2, 5, 3).data.slice(3, 6)]);
    expect(engine.stats().liveBytes).toBe(0);
  });
});

describe("alibiSlopes", () => {
  it("has the recorded slopes, and those between powers of two", async () => {
    const { params, expected } = classic("alibi_slopes__8");
    expect(alibiSlopes(params.heads)).toEqual(expected.slopes.data);
    expect([...alibiSlopes(3)]).toEqual([1 / 16, 1 / 256, 1 / 4]);
    expect([...alibiSlopes(0)]).toEqual([]);
    // A copy: writing to it changes nobody else's.
    alibiSlopes(8).fill(0);
    expect(alibiSlopes(8)[0]).toBe(0.5);
    await expectRefusal(() => alibiSlopes(2.5), "RANGE", /numHeads is 2.5/);
  });
});
