/** Cases recorded from PyTorch's scaled dot-product attention in float64, with their own tolerances. */
import { isSupported, type PaintedTensor, type Shape } from "../vectors/schema.ts";
import { attend, type Layout, type Problem, plain } from "./arrange.ts";
import { type Case, type Context, close, ok } from "./harness.ts";

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
  options: { scale: number; scaleIsDefault: boolean; causal: boolean };
  valueMax: number;
  tolerance: { output: number; lseRelative: number };
  tensors: Record<"query" | "key" | "value" | "query_offset", StoredArray> & { kv_lengths?: StoredArray };
  expected: Record<"output" | "lse", StoredArray> & { weights?: StoredArray };
}

function bytesOf(stored: StoredArray): ArrayBuffer {
  return Uint8Array.from(atob(stored.data), (letter) => letter.charCodeAt(0)).buffer;
}

function floats(stored: StoredArray): Float32Array {
  ok(stored.dtype === "float32", `float32 expected, ${stored.dtype} stored`);
  return new Float32Array(bytesOf(stored));
}

function integers(stored: StoredArray): Int32Array {
  ok(stored.dtype === "int32", `int32 expected, ${stored.dtype} stored`);
  return new Int32Array(bytesOf(stored));
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
  return {
    shape,
    query: tensor(tensors.query),
    key: tensor(tensors.key),
    value: tensor(tensors.value),
    options: {
      qOffset: integers(tensors.query_offset),
      ...(options.scaleIsDefault ? {} : { scale: options.scale }),
      ...(options.causal ? { causal: true } : {}),
      ...(tensors.kv_lengths ? { kvLengths: integers(tensors.kv_lengths) } : {}),
    },
  };
}

export async function sdpaCases(load: Context["load"]): Promise<Case[]> {
  const index = (await load("sdpa/index.json")) as { name: string; uses: string[] }[];
  const layouts: Layout[] = ["bshd", "bhsd"];
  return index
    .filter(({ uses }) => isSupported(Object.fromEntries(uses.map((name) => [name, true]))))
    .flatMap(({ name }) =>
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
