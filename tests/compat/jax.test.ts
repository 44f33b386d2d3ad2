/** Calls recorded from jax.nn.dot_product_attention, through compat.jax. */
import { attention, compat, init } from "saccade";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { integersOf, margin, numbersOf, type StoredArray, tensorOf } from "./arrays.ts";
import { readCase } from "./files.ts";

interface JaxCase {
  name: string;
  call: Record<string, unknown>;
  tensors: Record<"query" | "key" | "value", StoredArray>;
  arguments: Partial<Record<"bias" | "mask" | "query_seq_lengths" | "key_value_seq_lengths", StoredArray>>;
  expected: Record<"out" | "lse", StoredArray>;
}

const cases = readCase<JaxCase[]>("jax/cases.json");
/** float32 on both sides. */
const TOLERANCE = { absolute: 2e-6, relative: 2e-6 };
/** Rows `[batch, row]` that see no key: JAX gives the mean of all values, and they are looked at below. */
const EMPTY = "empty_rows";
let largest = 0;

function run({ call, tensors, arguments: given }: JaxCase) {
  const entries = Object.entries(given).map(([name, stored]) => [
    name,
    stored.dtype === "int32" ? integersOf(stored) : tensorOf(stored),
  ]);
  const options = compat.jax({ ...call, ...Object.fromEntries(entries) });
  const [query, key, value] = [tensors.query, tensors.key, tensors.value].map(tensorOf);
  return attention(query!, key!, value!, { ...options, returnLse: true });
}

beforeAll(() => init());

describe("calls recorded from JAX", () => {
  for (const one of cases) {
    if (one.name === EMPTY) continue;
    it(one.name, () => {
      const { out, lse } = run(one);
      const outMargin = margin(numbersOf(out as never), numbersOf(tensorOf(one.expected.out)), TOLERANCE);
      largest = Math.max(largest, outMargin);
      expect(outMargin, "out: largest error as a part of the tolerance").toBeLessThanOrEqual(1);
      // Rows outside the query's lengths have no lse here, and that of all masked scores there. A bias of -3.4e38 is
      // held at that value in base 2 (its weights are the same), so the lse of a row of them is another.
      if (one.arguments.query_seq_lengths || one.name === "lowest_bias") return;
      expect(margin(numbersOf(lse), numbersOf(tensorOf(one.expected.lse)), TOLERANCE)).toBeLessThanOrEqual(1);
    });
  }

  it("differ in rows that see no key: 0 here, the mean of all values there", () => {
    const one = cases.find(({ name }) => name === EMPTY)!;
    const [, rows, heads, dim] = one.tensors.query.shape as [number, number, number, number];
    const actual = numbersOf(run(one).out as never);
    const expected = numbersOf(tensorOf(one.expected.out));
    const value = numbersOf(tensorOf(one.tensors.value));
    const keys = one.tensors.value.shape[1]!;
    for (let column = 0; column < heads * dim; column++) {
      for (const row of [0, 2]) {
        const at = row * heads * dim + column;
        expect(margin([actual[at]!], [expected[at]!], TOLERANCE)).toBeLessThanOrEqual(1);
      }
      const at = heads * dim + column;
      const mean =
        Array.from({ length: keys }, (_, j) => value[j * heads * dim + column]!).reduce((a, b) => a + b) / keys;
      expect(actual[at]).toBe(0);
      expect(expected[at]).toBeCloseTo(mean, 5);
    }
    expect(rows).toBe(3);
  });

  it("are all there", () => expect(cases.length).toBe(25));

  afterAll(() => console.log(`JAX: ${cases.length} cases, largest error ${largest.toPrecision(3)} of the tolerance`));
});

describe("compat.jax", () => {
  it("counts positions from the first row and the first key", () => {
    expect(compat.jax({ isCausal: true })).toEqual({ layout: "bshd", causal: true, qOffset: "top-left" });
    expect(compat.jax({ local_window_size: 3 })).toEqual({
      layout: "bshd",
      window: { left: 3, right: 3 },
      qOffset: "top-left",
    });
  });

  it("takes any implementation", () => {
    expect(compat.jax({ implementation: "cudnn", returnResidual: true })).toEqual({ layout: "bshd", returnLse: true });
  });
});
