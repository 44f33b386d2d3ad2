/** The other libraries in Node.js. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { loadJax } from "./jax.ts";
import { naive } from "./naive.ts";
import { loadOnnxRuntimeNode } from "./onnxruntime-node.ts";
import { loadOnnxRuntimeWeb } from "./onnxruntime-web.ts";
import { startPeers } from "./start.ts";
import type { Peer } from "./task.ts";
import { loadTensorFlow } from "./tensorflow.ts";

const MODULES = new URL("./node_modules/", import.meta.url);
const TENSORFLOW_FILES = fileURLToPath(new URL("@tensorflow/tfjs-backend-wasm/wasm-out/", MODULES));

/** Whether they are there; `say` is told where not. */
export function arePeersInstalled(say: (line: string) => void): boolean {
  const installed = existsSync(MODULES);
  if (!installed) say("SKIPPED: other libraries; they are not in bench/peers (npm run bench installs them)");
  return installed;
}

/** Those that are installed and start, or the one of that name; `say` is told of the others. */
export async function loadPeers(say: (line: string) => void, only?: string): Promise<Peer[]> {
  if (only === naive.name || !arePeersInstalled(say)) return [naive];
  // Modules that emscripten made print their own source when anything in the process fails.
  const emitter: NodeJS.EventEmitter = process;
  const before = FAILURES.map((event) => emitter.listeners(event));
  const wanted = Object.entries(LOADERS).filter(([name]) => only === undefined || name === only);
  const peers = await startPeers(Object.fromEntries(wanted), say);
  FAILURES.forEach((event, i) => {
    for (const listener of emitter.listeners(event)) {
      if (!before[i]!.includes(listener)) emitter.removeListener(event, listener as () => void);
    }
  });
  return only === undefined ? [naive, ...peers] : peers;
}

const FAILURES: readonly string[] = ["uncaughtException", "unhandledRejection"];

const LOADERS = {
  "onnxruntime-web": () => loadOnnxRuntimeWeb(),
  "tfjs-wasm": () => loadTensorFlow(TENSORFLOW_FILES),
  "jax-js": () => loadJax(),
  "onnxruntime-node": () => loadOnnxRuntimeNode(),
};
