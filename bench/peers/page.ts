/** The other libraries in a page, whose server has this folder's packages under `/peers/`. */
import { loadJax } from "./jax.ts";
import { naive } from "./naive.ts";
import { loadOnnxRuntimeWeb } from "./onnxruntime-web.ts";
import { startPeers } from "./start.ts";
import type { Peer } from "./task.ts";
import { loadTensorFlow } from "./tensorflow.ts";

const LOADERS = {
  "onnxruntime-web": () => loadOnnxRuntimeWeb("/peers/onnxruntime-web/dist/"),
  "tfjs-wasm": () => loadTensorFlow("/peers/@tensorflow/tfjs-backend-wasm/wasm-out/"),
  "jax-js": () => loadJax(),
};

export const loadPagePeers = async (say: (line: string) => void): Promise<Peer[]> => [
  naive,
  ...(await startPeers(LOADERS, say)),
];
