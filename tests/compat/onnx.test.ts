/** ONNX's own test cases of the operator Attention, through compat.onnx. */
import { attention, compat, init, Tensor } from "saccade";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { integersOf, margin, numbersOf, type Plain, type StoredArray, tensorOf } from "./arrays.ts";
import { caseFiles, readCase } from "./files.ts";

interface OnnxCase {
  name: string;
  op: string;
  opset: 23 | 24 | 25;
  attributes: compat.OnnxAttributes;
  rtol: number;
  atol: number;
  inputs: (StoredArray & { name: string; index: number })[];
  outputs: (StoredArray & { name: string; index: number })[];
}

/** The operator's own names: a file may call a tensor otherwise. */
const INPUTS = ["Q", "K", "V", "attn_mask", "past_key", "past_value", "nonpad_kv_seqlen"] as const;
const OUTPUTS = ["Y", "present_key", "present_value", "qk_matmul_output"] as const;

/** The cases that do not pass, each with its reason. */
const KNOWN: Record<string, string> = {};

/** The suite's reference rounds between the steps of a half-width call; ours rounds once, at the end. */
const TOLERANCE: Record<string, number> = { float16: 1e-3, bfloat16: 1e-2 };

const cases = caseFiles("onnx", "test_attention_").map((file) => readCase<OnnxCase>(`onnx/${file}`));
const counts = new Map<number, { passed: number; total: number }>();
const margins = new Map<string, number>();

function inputsOf({ inputs }: OnnxCase): compat.OnnxInputs {
  const entries = inputs.map((input) => [
    INPUTS[input.index]!,
    input.dtype === "int64" ? { data: integersOf(input) } : tensorOf(input),
  ]);
  return Object.fromEntries(entries) as compat.OnnxInputs;
}

function check(one: OnnxCase, outputs: compat.OnnxOutputs): void {
  for (const expected of one.outputs) {
    const name = OUTPUTS[expected.index]!;
    const given = outputs[name];
    if (given === undefined) throw new Error(`${name} is missing`);
    const actual = given instanceof Tensor ? given.toPlain() : (given as Plain);
    expect(Array.from(actual.shape), `${name}.shape`).toEqual(expected.shape);
    if (name !== "qk_matmul_output") expect(actual.dtype, `${name}.dtype`).toBe(expected.dtype);
    const half = TOLERANCE[expected.dtype];
    // The past and the new keys are copied: bit for bit.
    const copied = name.startsWith("present");
    const tolerance = copied
      ? { absolute: 0, relative: 0 }
      : { absolute: half ?? one.atol, relative: half ?? one.rtol };
    const largest = margin(numbersOf(actual), numbersOf(tensorOf(expected)), tolerance);
    margins.set(expected.dtype, Math.max(margins.get(expected.dtype) ?? 0, largest));
    expect(largest, `${name}: largest error as a part of the tolerance`).toBeLessThanOrEqual(copied ? 0 : 1);
  }
}

function run(one: OnnxCase, arrange: (inputs: compat.OnnxInputs) => compat.OnnxInputs = (inputs) => inputs): void {
  const outputs = one.outputs.map(({ index }) => OUTPUTS[index]!);
  const node = compat.onnx(one.attributes, arrange(inputsOf(one)), { opset: one.opset, outputs });
  check(one, node.outputs(attention(node.query, node.key, node.value, node.options)));
}

beforeAll(() => init());

describe("cases of ONNX's backend suite", () => {
  for (const one of cases) {
    it(`opset ${one.opset}: ${one.name}`, () => {
      const count = counts.get(one.opset) ?? { passed: 0, total: 0 };
      counts.set(one.opset, { ...count, total: count.total + 1 });
      expect(one.op).toBe("Attention");
      const reason = KNOWN[one.name];
      if (reason === undefined) run(one);
      else expect(() => run(one), reason).toThrow();
      counts.set(one.opset, { total: count.total + 1, passed: count.passed + (reason === undefined ? 1 : 0) });
    });
  }

  it("gives the same for resident tensors", () => {
    for (const one of cases) {
      const held: Tensor[] = [];
      const keep = (given: unknown): unknown => {
        if (typeof given !== "object" || given === null || !("shape" in given)) return given;
        held.push(Tensor.from(given as Plain));
        return held.at(-1);
      };
      run(
        one,
        (inputs) =>
          Object.fromEntries(
            Object.entries(inputs).map(([name, given]) => [name, keep(given)]),
          ) as unknown as compat.OnnxInputs,
      );
      for (const tensor of held) tensor.dispose();
    }
  });

  it("pass, per opset", () => {
    const passing = cases.filter(({ name }) => KNOWN[name] === undefined);
    const perOpset = (list: typeof cases) =>
      [23, 24, 25].map((opset) => list.filter((one) => one.opset === opset).length);
    expect(perOpset(cases)).toEqual([42, 8, 6]);
    expect(perOpset(passing)).toEqual([42, 8, 6]);
  });

  afterAll(() => {
    for (const [opset, { passed, total }] of [...counts].sort()) {
      console.log(`ONNX Attention, opset ${opset}: ${passed} of ${total} cases`);
    }
    for (const [dtype, value] of margins)
      console.log(`largest error, ${dtype}: ${value.toPrecision(3)} of the tolerance`);
  });
});
