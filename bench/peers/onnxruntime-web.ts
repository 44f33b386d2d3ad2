/** onnxruntime-web: wasm, on one thread where no number is said. */
import { onnxChoices, start } from "./onnxruntime.ts";
import type { Peer } from "./task.ts";

/** `files` is the address of its wasm files, where its own module does not find them. The number of threads is that of the whole program. */
export async function loadOnnxRuntimeWeb(files?: string, threads = 1): Promise<Peer> {
  const ort = await import("onnxruntime-web/wasm");
  ort.env.wasm.numThreads = threads;
  if (files !== undefined) ort.env.wasm.wasmPaths = files;
  const options = { executionProviders: ["wasm"] };
  await start(ort, options);
  const choices = onnxChoices(ort, options);
  return { name: "onnxruntime-web", version: ort.env.versions.web, threads, choices };
}
