// @ts-check
/** The other thread of the pair: in Node.js a worker thread, in a page a worker. */
import { BYTES, DONE, newTurns, place, RATE_AT, runTurn, STARTED, STOP, TURN, WHAT } from "./turns.mjs";

/** @param {{ module: WebAssembly.Module, shared: SharedArrayBuffer }} message @param {() => void} answer */
async function live({ module, shared }, answer) {
  const control = new Int32Array(shared);
  const rate = new Float64Array(shared, RATE_AT, 1);
  const turns = await newTurns(module);
  answer();
  for (let turn = 0; ; ) {
    Atomics.wait(control, TURN, turn);
    turn = Atomics.load(control, TURN);
    const [what, byteLength] = [/** @type {number} */ (control[WHAT]), /** @type {number} */ (control[BYTES])];
    if (what < 0) place(turns, byteLength);
    Atomics.store(control, STARTED, turn);
    rate[0] = runTurn(turns, what, byteLength, () => Atomics.load(control, STOP) === 0);
    Atomics.store(control, DONE, turn);
  }
}

if (typeof process === "object" && process.versions?.node) {
  import("node:worker_threads").then(({ parentPort, workerData }) =>
    live(workerData, () => parentPort?.postMessage("ready")),
  );
} else globalThis.onmessage = ({ data }) => live(data, () => globalThis.postMessage("ready"));
