/** FlashAttention 2's arguments, proved by the cases recorded from PyTorch that they can say. */
import { attention, compat, init } from "saccade";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { margin, numbersOf, tensorOf } from "./arrays.ts";
import { hasPositions, listOf, type SdpaCase, sdpaCases } from "./sdpa-case.ts";

/** FlashAttention has neither masks, biases nor sinks, and its rules are aligned to the bottom right corner. */
function isSaid(one: SdpaCase): boolean {
  const { shape, tensors } = one;
  if (tensors.mask ?? tensors.bias ?? tensors.sinks) return false;
  if (!hasPositions(one)) return true;
  const lengths = listOf(tensors.kv_lengths);
  return listOf(tensors.query_offset)!.every(
    (offset, batch) => offset === (lengths?.[batch] ?? shape.keyLength) - shape.queryLength,
  );
}

/** `[batch, heads, length, dim]` as the `[batch, length, heads, dim]` that FlashAttention has. */
function transposed(stored: SdpaCase["tensors"]["key"]) {
  const [batch, heads, length, dim] = stored.shape as [number, number, number, number];
  const source = tensorOf(stored).data as Float32Array;
  const data = new Float32Array(source.length);
  let from = 0;
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < length; i++, from += dim) {
        data.set(source.subarray(from, from + dim), ((b * length + i) * heads + h) * dim);
      }
    }
  }
  return { data, shape: [batch, length, heads, dim] };
}

const said = sdpaCases.filter(isSaid);
let largest = 0;

beforeAll(() => init());

describe("cases recorded from PyTorch, as FlashAttention 2 says them", () => {
  for (const one of said) {
    it(one.name, () => {
      const { options, tensors, tolerance, expected } = one;
      const lengths = listOf(tensors.kv_lengths);
      const slopes = listOf(tensors.alibi_slopes);
      const call: compat.FlashCall = {
        causal: options.causal,
        windowSize: [options.windowLeft, options.windowRight],
        softcap: options.softcap,
        ...(options.scaleIsDefault ? {} : { softmaxScale: options.scale }),
        ...(slopes ? { alibiSlopes: slopes } : {}),
        ...(lengths ? { cacheSeqlens: lengths } : {}),
      };
      const { out } = attention(
        transposed(tensors.query),
        transposed(tensors.key),
        transposed(tensors.value),
        compat.flash(call),
      );
      const wanted = transposed(expected.output);
      const part = margin(numbersOf(out), Array.from(wanted.data), { absolute: tolerance.output, relative: 0 });
      largest = Math.max(largest, part);
      expect(part, "largest error as a part of the tolerance").toBeLessThanOrEqual(1);
    });
  }

  it("are as many as can be said", () => expect(said.length).toBe(71));

  afterAll(() =>
    console.log(`FlashAttention: ${said.length} cases, largest error ${largest.toPrecision(3)} of the tolerance`),
  );
});

describe("compat.flash", () => {
  const shape = (rows: number) => [rows, 2, 4];
  const paint = (rows: number, seed: number) =>
    Float32Array.from({ length: rows * 8 }, (_, i) => Math.sin(seed + i * 1.7));

  it("packs sequences with the rule of each aligned to its own end", () => {
    const query = paint(7, 1);
    const key = paint(9, 2);
    const value = paint(9, 3);
    const { out } = attention(
      { data: query, shape: shape(7) },
      { data: key, shape: shape(9) },
      { data: value, shape: shape(9) },
      compat.flash({
        causal: true,
        cu_seqlens_q: [0, 3, 7],
        cu_seqlens_k: [0, 5, 9],
        max_seqlen_q: 4,
        max_seqlen_k: 5,
      }),
    );
    const parts = [
      { q: [0, 3], k: [0, 5] },
      { q: [3, 7], k: [5, 9] },
    ] as const;
    const alone = parts.flatMap(({ q, k }) => {
      const part = (data: Float32Array, [from, to]: readonly [number, number]) => ({
        data: data.subarray(from * 8, to * 8),
        shape: [1, ...shape(to - from)],
      });
      return Array.from(
        attention(part(query, q), part(key, k), part(value, k), compat.flash({ causal: true })).out.data,
      );
    });
    expect(Array.from(out.data)).toEqual(alone);
  });

  it("has a window whose right side is 0 where causal says so", () => {
    expect(compat.flash({ causal: true, windowSize: [3, 5] })).toEqual({
      layout: "bshd",
      causal: true,
      window: { left: 3 },
      qOffset: "bottom-right",
    });
    expect(compat.flash({ windowSize: [-1, -1], softcap: 0 })).toEqual({ layout: "bshd" });
    expect(compat.flash({ window_size: [-1, 2] })).toEqual({
      layout: "bshd",
      window: { right: 2 },
      qOffset: "bottom-right",
    });
  });
});
