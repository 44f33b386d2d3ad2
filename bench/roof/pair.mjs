// @ts-check
/**
 * The roof of two threads: the same loops in both at once. What a second core adds is no constant of a machine: on a rented one
 * the two may share one core's units for seconds, and both share the memory.
 */
import { compile } from "./roof.mjs";
import { BYTES, DONE, newTurns, place, RATE_AT, runTurn, STARTED, STOP, TURN, WHAT } from "./turns.mjs";

/**
 * @typedef {object} Pair what two threads do at once, both together
 * @property {(milliseconds?: number) => Omit<import("./roof.mjs").Peaks, "fusedGflops">} sweep
 * @property {(byteLength: number) => number} readGBps each reads half of the bytes, again and again
 */

/** How long both run at a time; the best of some counts. */
const WINDOW_MS = 3;
const READ_MS = 60;

/** Starts the other thread; null where there can be none. @returns {Promise<Pair | null>} */
export async function measurePair() {
  const module = await compile("strict");
  if (module === null || typeof SharedArrayBuffer !== "function") return null;
  const shared = new SharedArrayBuffer(64);
  const control = new Int32Array(shared);
  const other = await start({ module, shared });
  if (other === null) return null;
  const turns = await newTurns(module);
  const rate = new Float64Array(shared, RATE_AT, 1);
  let turn = 0;
  /** @param {number} what @param {number} byteLength @param {number} milliseconds */
  const both = (what, byteLength, milliseconds) => {
    turn += 1;
    if (what < 0) place(turns, byteLength);
    control[STOP] = 0;
    control[WHAT] = what;
    control[BYTES] = byteLength;
    Atomics.store(control, TURN, turn);
    Atomics.notify(control, TURN);
    while (Atomics.load(control, STARTED) !== turn);
    const end = performance.now() + milliseconds;
    const own = runTurn(turns, what, byteLength, () => performance.now() < end);
    Atomics.store(control, STOP, 1);
    while (Atomics.load(control, DONE) !== turn);
    return (own + /** @type {number} */ (rate[0])) / 1e9;
  };
  /** @param {string} name @param {number} milliseconds */
  const best = (name, milliseconds) => {
    const all = turns.rates.flatMap((each, i) => (each.name === name ? [i] : []));
    let most = 0;
    for (const end = performance.now() + milliseconds; most === 0 || performance.now() < end; ) {
      for (const what of all) most = Math.max(most, both(what, 0, WINDOW_MS));
    }
    return most;
  };
  return {
    sweep: (milliseconds = 45) => ({
      strictGflops: best("strict", milliseconds / 2),
      divGops: best("divide", milliseconds / 4),
      expGops: best("exp", milliseconds / 4),
    }),
    readGBps(byteLength) {
      let most = 0;
      for (const end = performance.now() + READ_MS; most === 0 || performance.now() < end; ) {
        most = Math.max(most, both(-1, byteLength / 2, READ_MS / 4));
      }
      return most;
    },
  };
}

/** In Node.js or in a page. @param {object} message @returns {Promise<unknown>} */
async function start(message) {
  if (typeof process === "object" && process.versions?.node) {
    const { Worker } = await import("node:worker_threads");
    const worker = new Worker(new URL("./second.mjs", import.meta.url), { workerData: message, execArgv: [] });
    worker.unref();
    return await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  }
  if (typeof Worker !== "function") return null;
  const worker = new Worker(new URL("./second.mjs", import.meta.url), { type: "module" });
  worker.postMessage(message);
  return await new Promise((resolve, reject) => {
    worker.onmessage = resolve;
    worker.onerror = reject;
  });
}
