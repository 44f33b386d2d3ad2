/**
 * TensorFlow.js on its wasm backend, one thread, the same formula: tanh of the broadcast sum, times v, added up, softmax, product.
 * It lives in this folder's own node_modules, which the bench installs when it is run with --peers.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { AdditiveInputs, Numbers, Peer } from "./peer.ts";

const FOLDER = dirname(fileURLToPath(import.meta.url));

/** Installs the peers that the lock file names. */
export function installPeers(): void {
  execFileSync("npm", ["ci", "--ignore-scripts"], { cwd: FOLDER, stdio: "inherit" });
}

interface TfTensor {
  dataSync(): Float32Array;
  dispose(): void;
}
interface Tf {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  tensor(data: Float32Array, shape: number[]): TfTensor;
  tidy(run: () => TfTensor): TfTensor;
  add(a: TfTensor, b: TfTensor): TfTensor;
  mul(a: TfTensor, b: TfTensor): TfTensor;
  tanh(a: TfTensor): TfTensor;
  sum(a: TfTensor, axis: number): TfTensor;
  softmax(a: TfTensor): TfTensor;
  matMul(a: TfTensor, b: TfTensor): TfTensor;
}
interface TfWasm {
  setWasmPaths(folder: string): void;
  setThreadsCount(count: number): void;
  version_wasm: string;
}

let loaded: Promise<{ tf: Tf; name: string }> | undefined;

async function load(): Promise<{ tf: Tf; name: string }> {
  const require = createRequire(join(FOLDER, "package.json"));
  const tf = require("@tensorflow/tfjs-core") as Tf;
  const wasm = require("@tensorflow/tfjs-backend-wasm") as TfWasm;
  wasm.setWasmPaths(`${join(FOLDER, "node_modules/@tensorflow/tfjs-backend-wasm/wasm-out")}/`);
  wasm.setThreadsCount(1);
  await tf.setBackend("wasm");
  await tf.ready();
  return { tf, name: `tfjs-wasm ${wasm.version_wasm}` };
}

/** The peers that are installed; none, with a word about it, where none is. */
export async function createPeers(inputs: AdditiveInputs): Promise<Peer[]> {
  if (!existsSync(join(FOLDER, "node_modules"))) {
    if (loaded === undefined) console.log("SKIPPED: tfjs-wasm; --peers installs it into bench/peers");
    return [];
  }
  loaded ??= load();
  const { tf, name } = await loaded;
  const placed = ({ data, shape }: Numbers, as = shape) => tf.tensor(data, as);
  const [qLen, hidden] = inputs.query.shape as [number, number];
  const query = placed(inputs.query, [qLen, 1, hidden]);
  const key = placed(inputs.key, [1, ...inputs.key.shape]);
  const value = placed(inputs.value);
  const v = placed(inputs.v);
  const run = (): Float32Array => {
    const out = tf.tidy(() => tf.matMul(tf.softmax(tf.sum(tf.mul(tf.tanh(tf.add(query, key)), v), -1)), value));
    const data = out.dataSync();
    out.dispose();
    return data;
  };
  return [{ name, call: () => void run(), result: run }];
}
