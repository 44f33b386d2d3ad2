/** Ten thousand jobs, none lost or doubled: the pool with workers that count tiles, and dawdle. */
import { Worker } from "node:worker_threads";
import { afterAll, describe, expect, it } from "vitest";
import { Pool } from "../../ts/threads/pool.ts";
import type { WasmInstance } from "../../ts/wasm/instance.ts";

const { SACCADE_LONG } = process.env;
const long = SACCADE_LONG === "1";
const MOST_TILES = 3000;
const KIND = 1;

const counts = new SharedArrayBuffer(4 * MOST_TILES);
const counted = new Int32Array(counts);

/** What the pool needs of an instance; its wasm is a function that counts. */
const exports = {
  run(_kind: number, _phase: number, _block: number, _pass: number, from: number, to: number) {
    for (let tile = from; tile < to; tile++) Atomics.add(counted, tile, 1);
    return 0;
  },
};
const memory = { take: () => 0, giveBack: () => {} };
const instance = {
  exports,
  exportsFor: () => exports,
  memory: () => memory,
  wasmMemory: new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }),
} as unknown as WasmInstance;

const module = new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));

describe.each([2, 5, 16])("%i threads", (threads) => {
  // Ten thousand take 3 s on 2 threads, and 20 s on 16 that share two cores.
  const jobs = long || threads === 2 ? 10_000 : 1000;
  let thread = 0;
  const createWorker = () => {
    thread += 1;
    return new Worker(new URL("./other-thread.mjs", import.meta.url), { workerData: { counts, thread }, execArgv: [] });
  };
  const pool = new Pool(threads, { createWorker, module, instance, idleTimeoutMs: 10_000 });
  afterAll(() => pool.dispose());

  it(`run ${jobs} jobs, each tile once`, { timeout: 600_000 }, async () => {
    await pool.start();
    expect(pool.inUse).toBe(threads);
    for (let job = 0; job < jobs; job++) {
      const tiles = 2 + ((job * 7919) % (MOST_TILES - 2));
      counted.fill(0);
      expect(pool.run({ kind: KIND, phase: 0, block: 0, pass: 0, tiles, work: 1 << 20 }, "test")).toBe(0);
      if (!counted.every((count, tile) => count === (tile < tiles ? 1 : 0))) {
        expect.unreachable(
          `job ${job} of ${tiles} tiles: ${counted.slice(0, tiles).filter((n) => n !== 1).length} are wrong`,
        );
      }
    }
  });
});
