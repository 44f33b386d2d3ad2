/** onnxruntime-web: wasm, one thread. */
import { onnxChoices, start } from "./onnxruntime.ts";
import type { Peer } from "./task.ts";

/** `files` is the address of its wasm files, where its own module does not find them. */
export async function loadOnnxRuntimeWeb(files?: string): Promise<Peer> {
  const ort = await import("onnxruntime-web/wasm");
  ort.env.wasm.numThreads = 1;
  if (files !== undefined) ort.env.wasm.wasmPaths = files;
  const options = { executionProviders: ["wasm"] };
  await start(ort, options);
  const choices = onnxChoices(ort, options);
  return { name: "onnxruntime-web", version: ort.env.versions.web, choices };
}
