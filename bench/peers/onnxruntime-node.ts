/** onnxruntime-node: native code for this processor, one thread; the yardstick that wasm cannot be expected to reach. */
import { onnxChoices } from "./onnxruntime.ts";
import type { Peer } from "./task.ts";

export async function loadOnnxRuntimeNode(): Promise<Peer> {
  const ort = await import("onnxruntime-node");
  const threads = { intraOpNumThreads: 1, interOpNumThreads: 1 };
  const choices = onnxChoices(ort, { executionProviders: ["cpu"], ...threads });
  return { name: "onnxruntime-node", version: ort.env.versions.node, choices };
}
