// Packed sequences: each is a call of its own, whatever lies beside it.
import { attention, init, Tensor } from "saccade";
import { describe, expect, it } from "vitest";
import { bitsOf } from "./oracle.ts";
import { counted, thrownBy } from "./refusal.ts";

const cuQLens = [0, 3, 3, 73, 74];
const cuKvLens = [0, 4, 6, 6, 140];
const [H, KV_HEADS, D, DV] = [4, 2, 8, 6];
const q = counted(74, H, D);
const k = counted(140, KV_HEADS, D);
const v = counted(140, KV_HEADS, DV);

const slice = ({ data, shape }: { data: Float32Array<ArrayBuffer>; shape: number[] }, from: number, to: number) => {
  const width = shape[1]! * shape[2]!;
  return { data: data.slice(from * width, to * width), shape: [to - from, shape[1]!, shape[2]!] };
};

type Options = { causal?: boolean; qOffset?: number | "bottom-right" | "top-left"; sinks?: number[]; softcap?: number };

const CASES: [string, Options][] = [
  ["plain", {}],
  ["causal, bottom-right", { causal: true, qOffset: "bottom-right" }],
  ["causal, top-left", { causal: true, qOffset: "top-left" }],
  ["causal, a number", { causal: true, qOffset: 1 }],
  ["sinks and softcap", { sinks: [1, 0, -1, 2], softcap: 4 }],
];

describe("packed sequences", () => {
  it.each(CASES)("%s: the bits of a call per sequence", (_, options) => {
    const { out, lse } = attention(q, k, v, { ...options, cuQLens, cuKvLens, returnLse: true });
    expect(out.shape).toEqual([74, H, DV]);
    expect(lse.shape).toEqual([H, 74]);
    for (let s = 0; s < 4; s++) {
      const [from, to] = [cuQLens[s]!, cuQLens[s + 1]!];
      const keys = [cuKvLens[s]!, cuKvLens[s + 1]!] as const;
      const alone = attention(slice(q, from, to), slice(k, ...keys), slice(v, ...keys), {
        ...options,
        returnLse: true,
      });
      expect(bitsOf(out.data.subarray(from * H * DV, to * H * DV))).toEqual(bitsOf(alone.out.data));
      for (let h = 0; h < H; h++) {
        expect(bitsOf(lse.data.subarray(h * 74 + from, h * 74 + to))).toEqual(
          bitsOf(alone.lse.data.subarray(h * (to - from), (h + 1) * (to - from))),
        );
      }
    }
  });

  it("an offset per sequence, a window and ALiBi in each", () => {
    const options = { window: { left: 20 }, alibiSlopes: "auto" as const };
    const named = attention(q, k, v, { ...options, cuQLens, cuKvLens, qOffset: "bottom-right" });
    const given = attention(q, k, v, { ...options, cuQLens, cuKvLens, qOffset: [1, 2, -70, 133] });
    expect(bitsOf(given.out.data)).toEqual(bitsOf(named.out.data));
    const last = attention(slice(q, 73, 74), slice(k, 6, 140), slice(v, 6, 140), { ...options, qOffset: 133 });
    expect(bitsOf(named.out.data.subarray(73 * H * DV))).toEqual(bitsOf(last.out.data));
  });

  it("layout bhsd, half floats, resident and strided targets", () => {
    const expected = attention(q, k, v, { cuQLens, cuKvLens });
    const moved = ({ data, shape }: { data: Float32Array<ArrayBuffer>; shape: number[] }) => {
      const [s, h, d] = shape as [number, number, number];
      const result = new Float32Array(data.length);
      for (let i = 0; i < s; i++)
        for (let j = 0; j < h; j++) result.set(data.subarray((i * h + j) * d, (i * h + j + 1) * d), (j * s + i) * d);
      return { data: result, shape: [h, s, d] };
    };
    const other = attention(moved(q), moved(k), moved(v), { layout: "bhsd", cuQLens, cuKvLens }).out;
    expect(other.shape).toEqual([H, 74, DV]);
    expect(bitsOf(moved({ data: other.data, shape: other.shape }).data)).toEqual(bitsOf(expected.out.data));
    using out = Tensor.empty([74, H, DV]);
    using key = Tensor.from(k);
    attention(q, key, v, { cuQLens: new Int32Array(cuQLens), cuKvLens, out });
    expect(bitsOf(out.view())).toEqual(bitsOf(expected.out.data));
    const strided = { data: new Float32Array(74 * 32), shape: [74, H, DV], strides: [32, 7, 1], offset: 1 };
    attention(q, k, v, { cuQLens, cuKvLens, out: strided });
    expect(bitsOf(strided.data.slice(1 + 40 * 32 + 14, 7 + 40 * 32 + 14))).toEqual(
      bitsOf(expected.out.data.slice((40 * H + 2) * DV, (40 * H + 3) * DV)),
    );
  });

  it("holds nothing afterwards; no sequence at all is a call too", async () => {
    const engine = await init();
    const before = engine.stats().liveBytes;
    attention(q, k, v, { cuQLens, cuKvLens });
    expect(engine.stats().liveBytes).toBe(before);
    const none = { data: new Float32Array(0), shape: [0, 2, 4] };
    expect(attention(none, none, none, { cuQLens: [0], cuKvLens: [0] }).out.shape).toEqual([0, 2, 4]);
  });

  it("onEmptyRow names the sequence", () => {
    expect(thrownBy(() => attention(q, k, v, { cuQLens, cuKvLens, onEmptyRow: "throw" })).message).toBe(
      'attention: sequence 2, head 0, query row 0 sees no key, and options.onEmptyRow is "throw"',
    );
    expect(attention(q, k, v, { cuQLens, cuKvLens, onEmptyRow: "throw", sinks: [0, 0, 0, 0] }).out.shape).toEqual([
      74, 4, 6,
    ]);
  });
});
