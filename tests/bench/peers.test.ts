// What other libraries are asked, and what becomes of their answers: with the plain loop, and with libraries made up here.
import { createEngine, type Engine } from "saccade";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { matricesOf, permuted, rowsOf } from "../../bench/attention/arrange.ts";
import { attentionCase } from "../../bench/attention/cases.ts";
import { productsOf } from "../../bench/attention/products.ts";
import type { AttentionSpec } from "../../bench/attention/spec.ts";
import { CASES } from "../../bench/cases.ts";
import { naive } from "../../bench/peers/naive.ts";
import { attentionGraphs } from "../../bench/peers/onnx-attention.ts";
import type { AttentionTask, Choice, Numbers, Peer } from "../../bench/peers/task.ts";
import { attempts, isSubject } from "../../bench/subjects.ts";

const SMALL: AttentionSpec = {
  ...{
    layout: "bshd",
    batch: 2,
    numHeads: 4,
    numKvHeads: 4,
    qLen: 6,
    kvLen: 6,
    headDim: 5,
    valueHeadDim: 5,
    causal: false,
  },
};
const caseOf = (spec: AttentionSpec) => attentionCase({ ...spec, name: "case", words: "in words" });
const taskOf = (spec: AttentionSpec) => caseOf(spec).prepare().task as AttentionTask;

const SPECS: [string, AttentionSpec][] = [
  ["plain", SMALL],
  ["heads outermost, causal", { ...SMALL, layout: "bhsd", causal: true }],
  ["grouped, few queries", { ...SMALL, numKvHeads: 2, qLen: 3, causal: true }],
  ["a window", { ...SMALL, window: { left: 2, right: 1 } }],
  ["lengths", { ...SMALL, kvLengths: [2, 6] }],
  ["a mask and a bias", { ...SMALL, randomMask: 200, bias: true }],
  ["documents, ALiBi", { ...SMALL, documents: 2, alibi: true }],
  ["softcap", { ...SMALL, softcap: 2 }],
];

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ build: "strict" });
});
afterAll(() => engine.dispose());

describe("the plain loop", () => {
  it.each(SPECS)("is right with %s, and so are we", async (_, spec) => {
    const all = await attempts(caseOf(spec), [["strict", engine]], [naive]);
    expect(all.map(({ by, note }) => [by, note])).toEqual([
      ["strict", ""],
      ["naive loop", ""],
    ]);
    for (const { margin } of all) expect(margin).toBeLessThan(0.5);
  });

  it.each(CASES.filter(({ name }) => /^(additive-step|linear|softmax|layer-norm)/.test(name)))(
    "is right at $name",
    async (of) => {
      const [attempt] = await attempts(of, [], [naive]);
      expect(attempt).toMatchObject({ by: "naive loop", note: "" });
      expect(attempt!.margin).toBeLessThan(1);
    },
  );
});

describe("products", () => {
  /** Attention by a product, a softmax and a product, in plain arithmetic. */
  function attend(
    [q, k, v, b]: readonly Numbers[],
    scale: number,
    batch: number,
    turned: boolean,
  ): Float32Array<ArrayBuffer> {
    const [rows, inner] = q!.shape.slice(-2) as [number, number];
    const [keys, width] = v!.shape.slice(-2) as [number, number];
    const out = new Float32Array(batch * rows * width);
    const biases = b ? b.data.length / (rows * keys) : 0;
    for (let m = 0; m < batch; m++) {
      for (let i = 0; i < rows; i++) {
        const scores = Array.from({ length: keys }, (_, j) => {
          let sum = 0;
          for (let d = 0; d < inner; d++) {
            const at = turned ? (m * inner + d) * keys + j : (m * keys + j) * inner + d;
            sum += q!.data[(m * rows + i) * inner + d]! * k!.data[at]!;
          }
          // One for every head of a batch row, one for all heads of each batch row, or one for all.
          const of = biases === 4 ? m % 4 : biases === 2 ? Math.floor(m / 4) : 0;
          return sum * scale + (b ? b.data[(of * rows + i) * keys + j]! : 0);
        });
        const most = Math.max(...scores);
        const total = scores.reduce((sum, s) => sum + Math.exp(s - most), 0);
        scores.forEach((s, j) => {
          for (let d = 0; d < width; d++) {
            out[(m * rows + i) * width + d]! += (Math.exp(s - most) / total) * v!.data[(m * keys + j) * width + d]!;
          }
        });
      }
    }
    return out;
  }

  const ungrouped = SPECS.filter(([, spec]) => spec.softcap === undefined && spec.numKvHeads === spec.numHeads);
  const grouped: [string, AttentionSpec] = ["grouped", { ...SMALL, numKvHeads: 2 }];

  it.each([...ungrouped, grouped])("give the same at once and head by head: %s", (_, spec) => {
    const task = taskOf(spec);
    const { whole, transposed, byHead, scale, read } = productsOf(task)!;
    const margin = caseOf(spec).prepare().margin;
    const heads = spec.batch * spec.numKvHeads;
    expect(margin(read(attend(whole, scale, heads, false)))).toBeLessThan(0.5);
    expect(margin(read(attend(transposed, scale, heads, true)))).toBeLessThan(0.5);
    const parts = byHead.map((each) => attend(each, scale, 1, true));
    expect(margin(read(Float32Array.from(parts.flatMap((part) => [...part]))))).toBeLessThan(0.5);
  });

  it("are not to be had with softcap, or with a bias that differs within a group", () => {
    expect(productsOf(taskOf({ ...SMALL, softcap: 2 }))).toBeNull();
    expect(productsOf(taskOf({ ...SMALL, numKvHeads: 2, bias: true }))).toBeNull();
  });
});

describe("arrangements", () => {
  const numbers: Numbers = { data: Float32Array.from({ length: 24 }, (_, i) => i), shape: [1, 2, 3, 4] };

  it("move axes", () => {
    const { data, shape } = permuted(numbers, [0, 2, 1, 3]);
    expect(shape).toEqual([1, 3, 2, 4]);
    expect([...data.subarray(0, 12)]).toEqual([0, 1, 2, 3, 12, 13, 14, 15, 4, 5, 6, 7]);
    expect(permuted({ data, shape }, [0, 2, 1, 3])).toEqual(numbers);
  });

  it("cut rows and matrices out", () => {
    expect([...rowsOf(numbers, 1, 2).data]).toEqual([4, 5, 6, 7, 16, 17, 18, 19]);
    expect(matricesOf(numbers).map(({ data, shape }) => [data[0], shape])).toEqual([
      [0, [3, 4]],
      [12, [3, 4]],
    ]);
  });
});

describe("graphs for onnxruntime", () => {
  const named = (spec: AttentionSpec) =>
    attentionGraphs(taskOf(spec)).map(({ label, graphs }) => [label, graphs.map(({ how }) => how)]);

  it("try every operator that knows the case", () => {
    const products = "MatMul, Softmax, MatMul, keys transposed";
    const many = ["MultiHeadAttention", "MultiHeadAttention, keys by head", "Attention", products];
    expect(named(SMALL)).toEqual([[undefined, many]]);
    expect(named({ ...SMALL, causal: true })).toEqual([[undefined, [...many, "GroupQueryAttention"]]]);
    expect(named({ ...SMALL, softcap: 2 })).toEqual([[undefined, ["Attention"]]]);
  });

  it("decode from a past, from whole keys, and from keys in the model", () => {
    const decode = attentionGraphs(taskOf({ ...SMALL, qLen: 1, causal: true }));
    expect(decode.map(({ label, graphs }) => [label, graphs.length])).toEqual([
      ["past", 3],
      ["whole keys", 4],
      ["constants", 4],
    ]);
    const [past, , constants] = decode;
    const [first] = past!.graphs;
    const pastKey = first!.nodes[0]!.inputs[3]!;
    const [, heads, rows, dim] = first!.inputs[pastKey]!.shape;
    expect([heads, rows, dim]).toEqual([4, 5, 5]);
    for (const { inputs } of constants!.graphs) expect(Object.keys(inputs)).toEqual(["query"]);
  });
});

describe("ways", () => {
  const right = (spec = SMALL) => naive.choices(taskOf(spec))[0]!.ways[0]!;
  const peer = (...choices: Choice[]): Peer => ({ name: "other", version: "1", choices: () => choices });
  const tried = async (...choices: Choice[]) => attempts(caseOf(SMALL), [], [peer(...choices)]);
  const disposed: string[] = [];

  const failing = {
    how: "failing",
    place: () => {
      throw new Error("integer\noverflow");
    },
  };
  const wrong = {
    how: "wrong",
    place: () => ({
      call: () => {},
      result: () => new Float32Array(2 * 4 * 6 * 5),
      dispose: () => disposed.push("wrong"),
    }),
  };
  const slow = {
    how: "slow",
    async place() {
      const placed = await right().place();
      const call = () => {
        const end = performance.now() + 5;
        while (performance.now() < end);
        placed.call();
      };
      return { ...placed, call, dispose: () => disposed.push("slow") };
    },
  };

  it("are tried, and the fastest right one is kept", async () => {
    const [attempt, ...rest] = await tried({ ways: [failing, slow, wrong, right()] });
    expect(rest).toEqual([]);
    expect(attempt).toMatchObject({ by: "other", version: "1", how: "typed arrays" });
    expect(attempt!.note).toMatch(/^failing fails: integer overflow; wrong is off by [\de+.]+ times its error bound$/);
    expect(isSubject(attempt!)).toBe(true);
    expect(disposed.splice(0).sort()).toEqual(["slow", "wrong"]);
  });

  it("that all fail or are wrong are reported as such", async () => {
    const [failed, off] = await tried({ label: "a", ways: [failing] }, { label: "b", ways: [failing, wrong] });
    expect(failed).toMatchObject({ by: "other (a)", status: "failed", margin: null });
    expect(off).toMatchObject({ by: "other (b)", status: "wrong" });
    expect(off!.margin).toBeGreaterThan(1);
  });

  it("that there are none of leave no row", async () => {
    expect(await tried({ ways: [] })).toEqual([]);
  });
});
