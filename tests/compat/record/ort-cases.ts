/**
 * Records what onnxruntime computes, for tests/data/ort/cases.json:
 *   (cd tests/compat/ort && npm ci --ignore-scripts) && npx tsx tests/compat/record/ort-cases.ts
 */
import { writeFileSync } from "node:fs";
import type { Plain } from "../arrays.ts";
import { groupQueryAttentionCase, type Inputs, multiHeadAttentionCase, type OrtCase, Random } from "../ort-cases.ts";
import { load, runThere } from "../ort-run.ts";

const stored = ({ data, shape, dtype }: Plain) => ({
  dtype,
  shape,
  data: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64"),
});

const storedAll = (tensors: Partial<Record<string, Plain>>) =>
  Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, stored(tensor as Plain)]));

function special(name: string, qLen: number, kvLen: number, attributes: Record<string, number>, masked: boolean) {
  const random = new Random(9000 + qLen);
  const inputs: Inputs<Plain> = {
    query: random.tensor([1, qLen, 16]),
    key: random.tensor([1, kvLen, 16]),
    value: random.tensor([1, kvLen, 16]),
  };
  if (masked) inputs.key_padding_mask = { data: new Int32Array(kvLen), shape: [1, kvLen], dtype: "int32" };
  const one: OrtCase = {
    op: "MultiHeadAttention",
    attributes: { num_heads: 2, ...attributes },
    inputs,
    outputs: ["output"],
  };
  return { name, one, differs: true };
}

const SEEDS = Array.from({ length: 16 }, (_, index) => 5001 + index);
const cases = [
  ...SEEDS.map((seed) => ({ name: `random ${seed}`, one: multiHeadAttentionCase(seed), differs: false })),
  ...SEEDS.map((seed) => ({ name: `random ${seed}`, one: groupQueryAttentionCase(seed), differs: false })),
  special("all keys masked", 3, 5, {}, true),
  special("unidirectional, more keys than rows", 4, 6, { unidirectional: 1 }, false),
];

const ort = load();
const lines: string[] = [];
for (const { name, one, differs } of cases) {
  const outputs = storedAll(await runThere(ort, one));
  const { op, attributes, inputs, rows = null } = one;
  lines.push(JSON.stringify({ name, op, attributes, inputs: storedAll(inputs), outputs, rows, differs }));
}
writeFileSync(new URL("../../data/ort/cases.json", import.meta.url), `[\n${lines.join(",\n")}\n]\n`);
console.log(`${cases.length} cases`);
