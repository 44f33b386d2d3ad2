/**
 * Calls of onnxruntime's contrib operators: made at random, run there and here, and compared. Padding holds ordinary
 * numbers, since onnxruntime multiplies what it masks.
 */
import { attention, compat, type Engine, Tensor } from "saccade";
import { float16Bits } from "../reference/half.mjs";
import { margin, numbersOf, type Plain } from "./arrays.ts";

type AttributeName =
  | "kv_num_heads"
  | "scale"
  | "unidirectional"
  | "mask_filter_value"
  | "causal"
  | "softcap"
  | "local_window_size"
  | "smooth_softmax";

export type InputName =
  | "query"
  | "key"
  | "value"
  | "key_padding_mask"
  | "attention_bias"
  | "past_key"
  | "past_value"
  | "seqlens_k"
  | "total_sequence_length"
  | "head_sink";

export type Inputs<Array> = { query: Array } & Partial<Record<InputName, Array>>;

export interface OrtCase {
  op: "MultiHeadAttention" | "GroupQueryAttention";
  attributes: { num_heads: number } & Partial<Record<AttributeName, number>>;
  inputs: Inputs<Plain>;
  outputs: compat.OrtOutputName[];
  /** Rows of the output that mean something, per batch row; the others are whatever comes out. */
  rows?: number[];
}

export type OrtResult = Partial<Record<compat.OrtOutputName, Plain>>;

/** Numbers at random: xorshift32. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed * 2654435761) >>> 0 || 1;
    for (let i = 0; i < 8; i++) this.#next();
  }

  #next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }

  /** In [0, 1). */
  unit(): number {
    return this.#next() / 2 ** 32;
  }

  integer(low: number, high: number): number {
    return low + Math.floor(this.unit() * (high - low + 1));
  }

  pick<T>(list: readonly T[]): T {
    return list[this.integer(0, list.length - 1)]!;
  }

  chance(part: number): boolean {
    return this.unit() < part;
  }

  tensor(shape: number[], spread = 2, dtype: "float32" | "float16" = "float32"): Plain {
    const length = shape.reduce((product, size) => product * size, 1);
    const numbers = Float32Array.from({ length }, () => (this.unit() * 2 - 1) * spread);
    return dtype === "float32"
      ? { data: numbers, shape, dtype }
      : { data: Uint16Array.from(numbers, float16Bits), shape, dtype };
  }
}

const integers = (list: readonly number[], shape = [list.length]): Plain => ({
  data: Int32Array.from(list),
  shape,
  dtype: "int32",
});

const list = (length: number, make: (index: number) => number) => Array.from({ length }, (_, index) => make(index));

export function multiHeadAttentionCase(seed: number): OrtCase {
  const random = new Random(seed);
  const batch = random.integer(1, 3);
  const heads = random.integer(1, 4);
  const dim = random.pick([1, 3, 8, 16, 33]);
  const unidirectional = random.chance(0.4);
  const past = random.chance(0.3) ? random.integer(1, 6) : 0;
  const fourAxes = past === 0 && random.chance(0.2);
  const qLen = random.integer(1, 9);
  const kvLen = unidirectional && qLen > 1 ? qLen : random.integer(1, 12);
  const valueDim = past > 0 || fourAxes ? dim : random.pick([dim, 5]);
  const total = past + kvLen;
  const keyShape = (d: number) => (fourAxes ? [batch, heads, kvLen, d] : [batch, kvLen, heads * d]);
  const inputs: Inputs<Plain> = {
    query: random.tensor([batch, qLen, heads * dim]),
    key: random.tensor(keyShape(dim)),
    value: random.tensor(keyShape(valueDim)),
  };
  const mask = random.pick(["none", "lengths", "keys", "rows"]);
  if (mask === "lengths") inputs.key_padding_mask = integers(list(batch, () => random.integer(1, total)));
  // The first key stays visible: a row whose keys are all masked is another story.
  const shown = (index: number) => Number(index % total === 0 || random.chance(0.7));
  if (mask === "keys") inputs.key_padding_mask = integers(list(batch * total, shown), [batch, total]);
  if (mask === "rows") inputs.key_padding_mask = integers(list(batch * qLen * total, shown), [batch, qLen, total]);
  if (random.chance(0.4)) {
    inputs.attention_bias = random.tensor([random.pick([1, batch]), random.pick([1, heads]), qLen, total], 3);
  }
  if (past > 0) {
    inputs.past_key = random.tensor([batch, heads, past, dim]);
    inputs.past_value = random.tensor([batch, heads, past, dim]);
  }
  return {
    op: "MultiHeadAttention",
    attributes: {
      num_heads: heads,
      ...(unidirectional ? { unidirectional: 1 } : {}),
      ...(random.chance(0.4) ? { scale: random.pick([0, 0.25, 1, -0.5]) } : {}),
      ...(mask !== "none" && random.chance(0.3) ? { mask_filter_value: random.pick([-10000, -1e30]) } : {}),
    },
    inputs,
    outputs: past > 0 ? ["output", "present_key", "present_value"] : ["output"],
  };
}

export function groupQueryAttentionCase(seed: number): OrtCase {
  const random = new Random(seed);
  const kind = random.pick(["prompt", "decode", "chunk"]);
  const batch = kind === "chunk" ? 1 : random.integer(1, 3);
  const kvHeads = random.integer(1, 3);
  const heads = kvHeads * random.integer(1, 3);
  const dim = random.pick([8, 16, 40]);
  const dtype = random.pick(["float32", "float32", "float32", "float16"] as const);
  const causal = !random.chance(0.15);
  const qLen = kind === "decode" ? 1 : random.integer(kind === "chunk" ? 2 : 1, 9);
  const before = list(batch, () => (kind === "prompt" ? 0 : random.integer(kind === "chunk" ? 1 : 0, 7)));
  if (kind === "decode") before[0] = Math.max(before[0]!, 1);
  const valid = list(batch, (b) => (kind === "prompt" && causal ? random.integer(b === 0 ? qLen : 1, qLen) : qLen));
  const lengths = before.map((rows, b) => rows + valid[b]!);
  const total = Math.max(...before) + qLen;
  const cached = kind !== "prompt" || random.chance(0.3);
  const capacity = random.chance(0.5) ? total + random.integer(0, 5) : Math.max(...before, 1);
  const tensor = (shape: number[], spread?: number) => random.tensor(shape, spread, dtype);
  const packed = random.chance(0.25);
  const inputs: Inputs<Plain> = packed
    ? { query: tensor([batch, qLen, (heads + 2 * kvHeads) * dim]) }
    : {
        query: tensor([batch, qLen, heads * dim]),
        key: tensor([batch, qLen, kvHeads * dim]),
        value: tensor([batch, qLen, kvHeads * dim]),
      };
  if (cached) {
    inputs.past_key = tensor([batch, kvHeads, capacity, dim]);
    inputs.past_value = tensor([batch, kvHeads, capacity, dim]);
  }
  inputs.seqlens_k = integers(lengths.map((length) => length - 1));
  inputs.total_sequence_length = integers([total]);
  if (random.chance(0.3)) {
    inputs.attention_bias = tensor([random.pick([1, batch]), random.pick([1, heads]), qLen, total], 3);
  }
  const sink = random.pick(["none", "none", "smooth", "heads"]);
  if (sink === "heads") inputs.head_sink = tensor([heads]);
  return {
    op: "GroupQueryAttention",
    attributes: {
      num_heads: heads,
      kv_num_heads: kvHeads,
      ...(causal ? {} : { causal: 0 }),
      ...(random.chance(0.4) ? { scale: random.pick([0, 0.25, 1, -0.5]) } : {}),
      ...(random.chance(0.3) ? { softcap: random.pick([0, 0.7, 5]) } : {}),
      ...(causal && random.chance(0.4) ? { local_window_size: random.pick([-1, 1, 2, 4]) } : {}),
      ...(sink === "smooth" ? { smooth_softmax: 1 } : {}),
    },
    inputs,
    outputs: ["output", "present_key", "present_value"],
    rows: valid,
  };
}

/** The call through `compat.ort`; both translators read attributes and inputs alike. */
export function runHere({ op, attributes, inputs, outputs }: OrtCase, engine?: Engine): OrtResult {
  const options = { outputs };
  const { head_sink: sink } = inputs;
  const given = { ...inputs, ...(sink ? { head_sink: numbersOf(sink) } : {}) };
  const node =
    op === "MultiHeadAttention"
      ? compat.ort.multiHeadAttention(attributes as never, given as never, options)
      : compat.ort.groupQueryAttention(attributes as never, given as never, options);
  const result = attention(node.query, node.key, node.value, { ...node.options, engine });
  return Object.fromEntries(
    Object.entries(node.outputs(result)).map(([name, tensor]) => [
      name,
      (tensor instanceof Tensor ? tensor.toPlain() : tensor) as Plain,
    ]),
  );
}

/** Both round a float16 result once, and onnxruntime the sink and the bias before it. */
const TOLERANCE = {
  float32: { absolute: 1e-5, relative: 1e-5 },
  float16: { absolute: 2e-3, relative: 2e-3 },
} as const;

/** The largest error as a part of the tolerance; caches must be the same to the bit. */
export function compare(one: OrtCase, here: OrtResult, there: OrtResult): number {
  let largest = 0;
  for (const name of one.outputs) {
    const a = here[name];
    const e = there[name];
    if (!a || !e || `${a.shape}` !== `${e.shape}`) return Number.POSITIVE_INFINITY;
    const tolerance = name === "output" ? TOLERANCE[e.dtype as "float32" | "float16"] : { absolute: 0, relative: 0 };
    const [batch, rows] = e.shape as [number, number];
    const perRow = e.data.length / (batch * rows);
    const actual = numbersOf(a);
    const expected = numbersOf(e);
    for (let b = 0; b < batch; b++) {
      const valid = name === "output" ? (one.rows?.[b] ?? rows) : rows;
      const [from, to] = [b * rows * perRow, (b * rows + valid) * perRow];
      largest = Math.max(largest, margin(actual.slice(from, to), expected.slice(from, to), tolerance));
    }
  }
  return largest;
}
