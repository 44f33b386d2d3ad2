/** Running a case in onnxruntime, where it is installed. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import type { Plain } from "./arrays.ts";
import type { ElementType } from "./onnx-model.ts";
import { type OnnxRuntime, openSession } from "./onnx-session.ts";
import type { InputName, OrtCase, OrtResult } from "./ort-cases.ts";

const folder = new URL("ort/", import.meta.url);

export const isInstalled = () => existsSync(new URL("node_modules/onnxruntime-node/package.json", folder));

export const load = (): OnnxRuntime =>
  createRequire(new URL("package.json", folder))("onnxruntime-node") as OnnxRuntime;

/** In the order of the operators; null is one that no case has. */
const INPUTS: Record<OrtCase["op"], (InputName | null)[]> = {
  MultiHeadAttention: ["query", "key", "value", null, "key_padding_mask", "attention_bias", "past_key", "past_value"],
  GroupQueryAttention: [
    "query",
    "key",
    "value",
    "past_key",
    "past_value",
    "seqlens_k",
    "total_sequence_length",
    null,
    null,
    null,
    "attention_bias",
    "head_sink",
  ],
};
const OUTPUTS = ["output", "present_key", "present_value"] as const;
const FLOATS = ["scale", "softcap", "mask_filter_value"];

export async function runThere(ort: OnnxRuntime, { op, attributes, inputs, outputs }: OrtCase): Promise<OrtResult> {
  const type = inputs.query.dtype as ElementType;
  const taken = INPUTS[op].map((name) => (name !== null && inputs[name] ? name : ""));
  const given = INPUTS[op].filter((name) => name !== null).filter((name) => inputs[name] !== undefined);
  const model = {
    opset: 21,
    nodes: [
      {
        opType: op,
        domain: "com.microsoft",
        attributes: Object.fromEntries(
          Object.entries(attributes).map(([name, value]) => [
            name,
            FLOATS.includes(name) ? { float: value } : { int: value },
          ]),
        ),
        inputs: taken,
        outputs: OUTPUTS.map((name) => (outputs.includes(name) ? name : "")),
      },
    ],
    inputs: given.map((name) => ({ name, type: inputs[name]!.dtype as ElementType })),
    outputs: OUTPUTS.filter((name) => outputs.includes(name)).map((name) => ({ name, type })),
  };
  const operands = Object.entries(inputs).map(([name, { data, shape, dtype }]) => [name, { type: dtype, data, shape }]);
  const session = await openSession(ort, model, Object.fromEntries(operands));
  try {
    const results = await session.run();
    return Object.fromEntries(
      Object.entries(results).map(([name, { data, dims, type: given }]) => [
        name,
        { data: data as Plain["data"], shape: [...dims], dtype: given } as Plain,
      ]),
    );
  } finally {
    await session.release();
  }
}
