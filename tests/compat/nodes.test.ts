/** What the translators of graph nodes do with operands, beyond the recorded cases. */
import { attention, compat, init, Tensor } from "saccade";
import { beforeAll, describe, expect, expectTypeOf, it } from "vitest";
import type { Plain } from "./arrays.ts";

const paint = (seed: number, ...shape: number[]) => ({
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(seed * 17 + i * 1.3)),
  shape,
});

const list = (tensor: object | undefined): number[] =>
  Array.from((tensor instanceof Tensor ? tensor.toPlain() : (tensor as Plain)).data as ArrayLike<number>);

function run(node: compat.OnnxAttention): compat.OnnxOutputs {
  return node.outputs(attention(node.query, node.key, node.value, node.options));
}

beforeAll(() => init());

describe("compat.onnx", () => {
  const Q = paint(1, 2, 3, 8);
  const K = paint(2, 2, 5, 8);
  const V = paint(3, 2, 5, 8);
  const attributes = { q_num_heads: 2, kv_num_heads: 2 };

  it("puts the new keys out where there is no past and they are asked for", () => {
    const { present_key, present_value, Y } = run(
      compat.onnx(attributes, { Q, K, V }, { outputs: ["Y", "present_key", "present_value"] }),
    );
    expect([Y.shape, present_key?.shape, present_value?.shape]).toEqual([
      [2, 3, 8],
      [2, 2, 5, 4],
      [2, 2, 5, 4],
    ]);
    // [batch, row, head, dim] there, [batch, head, row, dim] here.
    expect(list(present_key).slice(5 * 4, 6 * 4)).toEqual(Array.from(K.data.slice(4, 8)));
  });

  it("pads a mask of one column, as the operator says, and does not broadcast it", () => {
    const attn_mask = { data: new Uint8Array(3).fill(1), shape: [3, 1], dtype: "bool" } as const;
    const { options } = compat.onnx(attributes, { Q, K, V, attn_mask });
    expect(options.mask).toEqual({
      data: Uint8Array.from({ length: 15 }, (_, i) => Number(i % 5 === 0)),
      shape: [3, 5],
      dtype: "bool",
    });
  });

  it("pads a float mask with -Infinity, and takes one that is long enough as it is", () => {
    const short = { data: Float32Array.of(1, 2), shape: [2] };
    const padded = compat.onnx(attributes, { Q, K, V, attn_mask: short }).options.bias;
    expect(list(padded)).toEqual([1, 2, Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]);
    const whole = paint(4, 5);
    expect(compat.onnx(attributes, { Q, K, V, attn_mask: whole }).options.bias).toBe(whole);
  });

  it("asks for the scores that qk_matmul_output_mode names, and only then", () => {
    const optionsOf = (mode?: number) =>
      compat.onnx({ ...attributes, ...(mode === undefined ? {} : { qk_matmul_output_mode: mode }) }, { Q, K, V })
        .options;
    expect(optionsOf()).toEqual({ layout: "bshd" });
    expect([0, 1, 2].map((mode) => optionsOf(mode).tap)).toEqual(["scaled", "capped", "biased"]);
    expect(optionsOf(3)).toEqual({ layout: "bshd", returnWeights: true });
    const node = compat.onnx({ ...attributes, qk_matmul_output_mode: 3 }, { Q, K, V });
    expect(() => node.outputs({ out: paint(1, 2, 3, 2, 4) })).toThrow(/the result has no weights/);
  });

  it("puts out the scaled scores in mode 0, before softcap", () => {
    const scores = (call: object) =>
      list(run(compat.onnx({ ...attributes, ...call, qk_matmul_output_mode: 0 }, { Q, K, V })).qk_matmul_output);
    expect(scores({ softcap: 0.5 })).toEqual(scores({}));
  });

  it("reads strided and resident operands", () => {
    const plain = list(run(compat.onnx(attributes, { Q, K, V })).Y);
    const both = new Float32Array(2 * 5 * 16);
    for (let row = 0; row < 10; row++) {
      both.set(K.data.subarray(row * 8, row * 8 + 8), row * 16);
      both.set(V.data.subarray(row * 8, row * 8 + 8), row * 16 + 8);
    }
    const view = { data: both, shape: [2, 5, 8], strides: [80, 16, 1] };
    const strided = compat.onnx(attributes, { Q, K: view, V: { ...view, offset: 8 } });
    expect(list(run(strided).Y)).toEqual(plain);
    using query = Tensor.from(Q);
    using key = Tensor.from(K);
    const node = compat.onnx(attributes, { Q: query, K: key, V });
    // The memory may grow, and so move, between the two calls.
    using large = Tensor.zeros([3 << 20]);
    expect(large.shape).toEqual([3 << 20]);
    expect(list(run(node).Y)).toEqual(plain);
  });

  it("puts a strided cache together", () => {
    const past = paint(5, 2, 2, 3, 4);
    const whole = compat.onnx(attributes, { Q, K, V, past_key: past, past_value: past });
    const wide = new Float32Array(2 * 2 * 3 * 6).fill(Number.NaN);
    for (let row = 0; row < 12; row++) wide.set(past.data.subarray(row * 4, row * 4 + 4), row * 6);
    const view = { data: wide, shape: [2, 2, 3, 4], strides: [36, 18, 6, 1] };
    const strided = compat.onnx(attributes, { Q, K, V, past_key: view, past_value: view });
    expect(run(strided)).toEqual(run(whole));
  });

  it("writes into a target", () => {
    using out = Tensor.zeros([2, 3, 2, 4]);
    const node = compat.onnx(attributes, { Q, K, V });
    const { Y } = node.outputs(attention(node.query, node.key, node.value, { ...node.options, out }));
    expect(Y.shape).toEqual([2, 3, 8]);
    expect(list(Y)).toEqual(list(run(node).Y));
  });

  it("has lists of int64", () => {
    const { options } = compat.onnx(
      { ...attributes, is_causal: 1 },
      { Q, K, V, nonpad_kv_seqlen: { data: BigInt64Array.of(5n, 2n) } },
    );
    expect(options).toEqual({ layout: "bshd", causal: true, qOffset: "bottom-right", kvLengths: [5, 2] });
  });
});

describe("compat.ort", () => {
  const shape = [1, 3, 2, 3, 4];
  const packed = paint(6, ...shape);
  const part = (index: number) => {
    const data = new Float32Array(24);
    for (let at = 0; at < 24; at++) data[at] = packed.data[Math.floor(at / 4) * 12 + index * 4 + (at % 4)]!;
    return { data, shape: [1, 3, 8] };
  };
  const output = (inputs: compat.MultiHeadAttentionInputs) => {
    const node = compat.ort.multiHeadAttention({ num_heads: 2, unidirectional: 1 }, inputs);
    return list(node.outputs(attention(node.query, node.key, node.value, node.options)).output);
  };

  it("reads packed query, key and value, and packed key and value", () => {
    const [query, key, value] = [part(0), part(1), part(2)] as const;
    const expected = output({ query, key, value });
    expect(output({ query: packed })).toEqual(expected);
    const pairs = new Float32Array(48);
    for (let at = 0; at < 24; at++) {
      pairs[Math.floor(at / 4) * 8 + (at % 4)] = key.data[at]!;
      pairs[Math.floor(at / 4) * 8 + 4 + (at % 4)] = value.data[at]!;
    }
    expect(output({ query, key: { data: pairs, shape: [1, 3, 2, 2, 4] } })).toEqual(expected);
  });

  it("does not take [batch, heads, length, dim] for [batch, length, heads, dim] where the sizes are the same", () => {
    const query = paint(1, 1, 2, 8);
    const key = paint(2, 1, 2, 8);
    const turned = { data: new Float32Array(16), shape: [1, 2, 2, 4] };
    for (let at = 0; at < 16; at++) {
      const [row, head, dim] = [Math.floor(at / 8), Math.floor(at / 4) % 2, at % 4];
      turned.data[head * 8 + row * 4 + dim] = key.data[at]!;
    }
    expect(output({ query, key: turned, value: turned })).toEqual(output({ query, key, value: key }));
  });
});

describe("compat.ort.groupQueryAttention", () => {
  it("reads resident lengths and sinks", () => {
    const [query, key, value] = [paint(1, 2, 3, 8), paint(2, 2, 3, 4), paint(3, 2, 3, 4)] as const;
    const attributes = { num_heads: 2, kv_num_heads: 1 };
    const output = (more: Omit<compat.GroupQueryAttentionInputs, "query">) => {
      const node = compat.ort.groupQueryAttention(attributes, { query, key, value, ...more });
      const outputs = node.outputs(attention(node.query, node.key, node.value, node.options));
      return [list(outputs.output), list(outputs.present_key)];
    };
    using seqlens_k = Tensor.from({ data: Int32Array.of(2, 1), shape: [2] });
    using total_sequence_length = Tensor.from({ data: Int32Array.of(3), shape: [] });
    using head_sink = Tensor.from({ data: Float32Array.of(0.5, -1), shape: [2] });
    expect(output({ seqlens_k, total_sequence_length, head_sink })).toEqual(
      output({ seqlens_k: [2, 1], total_sequence_length: 3, head_sink: [0.5, -1] }),
    );
    const half = { data: new Uint16Array(2), shape: [2], dtype: "float16" };
    expect(() => output({ seqlens_k: [2, 1], total_sequence_length: 3, head_sink: half })).toThrow(
      /give it as float32/,
    );
  });
});

describe("what the translators give", () => {
  it("fits attention, whose result keeps its type", () => {
    const query = paint(1, 1, 2, 1, 4);
    const both = { ...compat.flash({ causal: true }), returnLse: true } as const;
    expectTypeOf(attention(query, query, query, both).lse.data).toEqualTypeOf<Float32Array<ArrayBuffer>>();
    expectTypeOf(
      attention(query, query, query, compat.torch({ is_causal: true })).out.dtype,
    ).toEqualTypeOf<"float32">();
    expectTypeOf(attention(query, query, query, compat.jax({ isCausal: true })).out.shape).toEqualTypeOf<number[]>();
    // @ts-expect-error an unknown name
    expect(() => compat.torch({ causal: true })).toThrow();
    // @ts-expect-error an unknown name
    expect(() => compat.onnx({ causal: 1 }, { Q: query, K: query, V: query })).toThrow();
  });
});
