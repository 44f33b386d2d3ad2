// The package's thread with something in its way, as workerData says: it counts, dawdles, fails, hangs, dies in a chunk, computes one
// for ever, or never answers.
import { parentPort, workerData } from "node:worker_threads";
import { pauses } from "./delays.mjs";

const { how, thread = 1, counts, began } = workerData;
const pause = new Int32Array(new SharedArrayBuffer(4));

const dawdle = pauses(thread);

const before = {
  dawdles: dawdle,
  fails() {
    throw new Error("this thread fails");
  },
  hangs() {
    Atomics.wait(pause, 0, 0);
  },
  dies(run) {
    run();
    process.exit();
  },
  endures(run) {
    Atomics.store(new Int32Array(began), 0, 1);
    for (;;) run();
  },
};

if (how === "throws") throw new Error("this thread does not start");
if (how === "silent") parentPort.on("message", () => {});
else {
  const Real = WebAssembly.Instance;
  WebAssembly.Instance = function Instance(module, imports) {
    if (counts !== undefined) {
      const counted = new Int32Array(counts);
      const run = (_kind, _phase, _block, _pass, from, to) => {
        dawdle();
        for (let tile = from; tile < to; tile++) Atomics.add(counted, tile, 1);
        return 0;
      };
      return { exports: { run, __stack_pointer: { value: 0 } } };
    }
    const { exports } = new Real(module, imports);
    const run = (...args) => {
      before[how](() => exports.run(...args));
      return exports.run(...args);
    };
    return { exports: { ...exports, run } };
  };
  await import("saccade/thread");
}
