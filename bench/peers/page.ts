/** The other libraries in a page, whose server has this folder's packages under `/peers/`. */
import { loadJax } from "./jax.ts";
import { naive } from "./naive.ts";
import { loadOnnxRuntimeWeb } from "./onnxruntime-web.ts";
import { startPeers } from "./start.ts";
import type { Peer } from "./task.ts";
import { loadTensorFlow } from "./tensorflow.ts";

const ONNX_FILES = "/peers/onnxruntime-web/dist/";
const LOADERS = {
  "onnxruntime-web": () => loadOnnxRuntimeWeb(ONNX_FILES),
  "tfjs-wasm": () => loadTensorFlow("/peers/@tensorflow/tfjs-backend-wasm/wasm-out/"),
  "jax-js": () => loadJax(),
};

/** Those that can, where several threads are asked for: in a page of their own, since they have one number for all they do. */
export const loadPagePeers = async (say: (line: string) => void, threads: number): Promise<Peer[]> =>
  threads === 1 ? [naive, ...(await startPeers(LOADERS, say))] : [await loadOnnxRuntimeWeb(ONNX_FILES, threads)];
