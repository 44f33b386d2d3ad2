/** The cases recorded from PyTorch, said as scaled_dot_product_attention says them, through compat.torch. */
import { attention, BitMask, compat, init } from "saccade";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { margin, numbersOf, tensorOf } from "./arrays.ts";
import { foldedMask, listOf, type SdpaCase, sdpaCases, withZeroRow } from "./sdpa-case.ts";

/** How the arguments of scaled_dot_product_attention say a case. */
type Way = "arguments" | "folded into attn_mask";

function wayOf(one: SdpaCase): Way {
  const { options, tensors } = one;
  const masks = Number(tensors.mask !== undefined) + Number(tensors.bias !== undefined);
  const windowed = options.windowLeft >= 0 || options.windowRight >= 0;
  const topLeft = listOf(tensors.query_offset)!.every((offset) => offset === 0);
  const alone = masks + Number(options.causal) <= 1 && (!options.causal || topLeft);
  const others = tensors.kv_lengths ?? tensors.alibi_slopes ?? tensors.sinks;
  return alone && !windowed && others === undefined ? "arguments" : "folded into attn_mask";
}

function callOf(one: SdpaCase, way: Way): compat.TorchCall {
  const { options, tensors } = one;
  const common = {
    enableGqa: true,
    ...(options.scaleIsDefault ? {} : { scale: options.scale }),
    ...(options.softcap > 0 ? { softcap: options.softcap } : {}),
  };
  if (way === "folded into attn_mask") return { ...common, attnMask: foldedMask(one) };
  const attnMask = tensors.mask ?? tensors.bias;
  return {
    ...common,
    ...(options.causal ? { isCausal: true } : {}),
    ...(attnMask === undefined ? {} : { attnMask: tensorOf(attnMask) }),
  };
}

const counts: Record<Way, number> = { arguments: 0, "folded into attn_mask": 0 };
let largestOut = 0;
let largestLse = 0;

beforeAll(() => init());

describe("cases recorded from PyTorch", () => {
  for (const one of sdpaCases) {
    const way = wayOf(one);
    counts[way]++;
    it(`${one.name} (${way})`, () => {
      const { tensors, tolerance, expected } = one;
      const widen = (stored: SdpaCase["tensors"]["key"]) => {
        const plain = { data: tensorOf(stored).data as Float32Array, shape: stored.shape };
        return tensors.sinks && way !== "arguments" ? withZeroRow(plain) : plain;
      };
      const options = compat.torch(callOf(one, way));
      const result = attention(tensorOf(tensors.query), widen(tensors.key), widen(tensors.value), {
        ...options,
        returnLse: true,
      });
      const outMargin = margin(numbersOf(result.out as never), numbersOf(tensorOf(expected.output)), {
        absolute: tolerance.output,
        relative: 0,
      });
      const lse = tolerance.lseRelative;
      const lseMargin = margin(numbersOf(result.lse), numbersOf(tensorOf(expected.lse)), {
        absolute: lse,
        relative: lse,
      });
      largestOut = Math.max(largestOut, outMargin);
      largestLse = Math.max(largestLse, lseMargin);
      expect(outMargin, "out: largest error as a part of the tolerance").toBeLessThanOrEqual(1);
      expect(lseMargin, "lse: largest error as a part of the tolerance").toBeLessThanOrEqual(1);
    });
  }

  it("are all said: a softcap as flex_attention says it, the rest as scaled_dot_product_attention does", () => {
    expect(counts).toEqual({ arguments: 68, "folded into attn_mask": 45 });
    expect(sdpaCases.length).toBe(113);
  });

  afterAll(() => {
    console.log(`PyTorch cases: ${JSON.stringify(counts)}`);
    console.log(`largest error: out ${largestOut.toPrecision(3)}, lse ${largestLse.toPrecision(3)} of the tolerance`);
  });
});

describe("compat.torch", () => {
  it("aligns is_causal to the upper left corner", () => {
    expect(compat.torch({ isCausal: true })).toEqual({ layout: "bhsd", causal: true, qOffset: "top-left" });
    expect(compat.torch({ is_causal: true })).toEqual(compat.torch({ isCausal: true }));
  });

  it("takes a boolean mask as a mask, a float one as a bias", () => {
    const bool = { data: new Uint8Array(6), shape: [2, 3], dtype: "bool" } as const;
    const float = { data: new Float32Array(6), shape: [2, 3] };
    expect(compat.torch({ attnMask: bool, scale: 0.5 })).toEqual({ layout: "bhsd", mask: bool, scale: 0.5 });
    expect(compat.torch({ attn_mask: float })).toEqual({ layout: "bhsd", bias: float });
    const rule = BitMask.causal();
    expect(compat.torch({ attnMask: rule }).mask).toBe(rule);
  });

  it("takes what says nothing", () => {
    expect(compat.torch()).toEqual({ layout: "bhsd" });
    expect(compat.torch({ attnMask: null, dropoutP: 0, isCausal: false, scale: null, enableGqa: true })).toEqual({
      layout: "bhsd",
    });
  });
});
