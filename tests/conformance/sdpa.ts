/** Cases recorded from PyTorch's scaled dot-product attention in float64, with their own tolerances. */
import type { PaintedTensor, Shape } from "../vectors/schema.ts";
import { attend, type Layout, plain } from "./arrange.ts";
import { type Case, type Context, close, ok } from "./harness.ts";
import type { Problem } from "./problem.ts";

interface StoredArray {
  dtype: "float32" | "int32" | "bool";
  shape: number[];
  data: string;
}

interface SdpaCase {
  shape: Record<
    "batch" | "queryHeads" | "keyValueHeads" | "queryLength" | "keyLength" | "headDim" | "valueHeadDim",
    number
  >;
  options: {
    scale: number;
    scaleIsDefault: boolean;
    causal: boolean;
    /** Negative: open. */
    windowLeft: number;
    windowRight: number;
    /** 0: none. */
    softcap: number;
  };
  valueMax: number;
  tolerance: { output: number; lseRelative: number };
  tensors: Record<"query" | "key" | "value" | "query_offset", StoredArray> & {
    [name in "kv_lengths" | "mask" | "bias" | "alibi_slopes" | "sinks"]?: StoredArray;
  };
  expected: Record<"output" | "lse", StoredArray> & { weights?: StoredArray };
}

function bytesOf(stored: StoredArray): ArrayBuffer {
  return Uint8Array.from(atob(stored.data), (letter) => letter.charCodeAt(0)).buffer;
}

function floats(stored: StoredArray): Float32Array<ArrayBuffer> {
  ok(stored.dtype === "float32", `float32 expected, ${stored.dtype} stored`);
  return new Float32Array(bytesOf(stored));
}

function integers(stored: StoredArray): Int32Array {
  ok(stored.dtype === "int32", `int32 expected, ${stored.dtype} stored`);
  return new Int32Array(bytesOf(stored));
}

function booleans(stored: StoredArray): Uint8Array<ArrayBuffer> {
  ok(stored.dtype === "bool", `bool expected, ${stored.dtype} stored`);
  return new Uint8Array(bytesOf(stored));
}

const tensor = (stored: StoredArray): PaintedTensor => ({
  data: floats(stored),
  shape: stored.shape as PaintedTensor["shape"],
});

function problemOf({ shape: s, options, tensors }: SdpaCase): Problem {
  const shape: Shape = {
    batch: s.batch,
    qLen: s.queryLength,
    kvLen: s.keyLength,
    numHeads: s.queryHeads,
    numKvHeads: s.keyValueHeads,
    headDim: s.headDim,
    valueHeadDim: s.valueHeadDim,
  };
  const { windowLeft: left, windowRight: right } = options;
  const { kv_lengths, mask, bias, alibi_slopes, sinks } = tensors;
  return {
    shape,
    query: tensor(tensors.query),
    key: tensor(tensors.key),
    value: tensor(tensors.value),
    options: {
      qOffset: integers(tensors.query_offset),
      ...(options.scaleIsDefault ? {} : { scale: options.scale }),
      ...(options.causal ? { causal: true } : {}),
      ...(left < 0 && right < 0 ? {} : { window: { ...(left < 0 ? {} : { left }), ...(right < 0 ? {} : { right }) } }),
      ...(options.softcap > 0 ? { softcap: options.softcap } : {}),
      ...(kv_lengths && { kvLengths: integers(kv_lengths) }),
      ...(mask && { mask: { data: booleans(mask), shape: mask.shape } }),
      ...(bias && { bias: { data: floats(bias), shape: bias.shape } }),
      ...(alibi_slopes && { alibiSlopes: floats(alibi_slopes) }),
      ...(sinks && { sinks: floats(sinks) }),
    },
  };
}

export async function sdpaCases(load: Context["load"]): Promise<Case[]> {
  const index = (await load("sdpa/index.json")) as { name: string }[];
  const layouts: Layout[] = ["bshd", "bhsd"];
  return index.flatMap(({ name }) =>
    layouts.map((layout) => ({
      name: `pytorch ${name} ${layout}`,
      async run({ library, engine, load: loadNow }: Context) {
        const stored = (await loadNow(`sdpa/${name}.json`)) as SdpaCase;
        const { tolerance, expected, valueMax } = stored;
        const result = attend(problemOf(stored), {
          library,
          engine: await engine("strict"),
          arrangement: plain(layout),
          weights: true,
        });
        close(result.out, floats(expected.output), () => tolerance.output, "out");
        close(result.lse, floats(expected.lse), (e) => tolerance.lseRelative * Math.max(1, Math.abs(e)), "lse");
        if (expected.weights) {
          // An output is a mean of values, so its tolerance is that of a weight times the largest value.
          close(result.weights!, floats(expected.weights), () => tolerance.output / valueMax, "weights");
        }
      },
    })),
  );
}
