/** Threads in a page: on engines that share memory they compute the same bits; elsewhere the same call works on one thread. */

import { paintBell } from "../../../ts/self-test.ts";
import { equal, type Library, sameBits } from "../../conformance/harness.ts";
import { compare, type Expected, expectedOf, tableCases, titleOf } from "../../threads/bits.ts";
import type { Packages } from "../../threads/case.ts";

const shared = typeof SharedArrayBuffer === "function";

const shape = [1, 512, 4, 64];
const [query, key, value] = [1, 2, 3].map((seed) => ({ data: paintBell(seed, 512 * 256), shape })) as [
  Tensor,
  Tensor,
  Tensor,
];
type Tensor = { data: Float32Array; shape: number[] };

const run = (library: Library, engine?: Awaited<ReturnType<Library["createEngine"]>>) =>
  library.attention(query, key, value, { engine }).out.data as Float32Array;

const load = async (file: string): Promise<unknown> => import(/* @vite-ignore */ new URL(file, location.href).href);
let expected: Expected | undefined;

/** The table on workers with random delays: every byte, and that work was handed out at all. */
async function compareTable(library: Library, threads: number): Promise<void> {
  const packages = {
    saccade: library,
    "saccade/nn": await load("/dist/nn-browser.js"),
    "saccade/vision": await load("/dist/vision-browser.js"),
  } as Packages;
  const one = await library.createEngine();
  expected ??= await expectedOf(packages, one);
  one.dispose();
  let seed = 0;
  const createWorker = () => new Worker("/threads/delayed-browser.mjs", { type: "module", name: String(++seed) });
  const engine = await library.createEngine({ threads, createWorker });
  equal(engine.stats().threads, shared ? threads : 1, "threads");
  for (const each of tableCases) {
    const jobs = await compare(each, packages, engine, expected);
    equal(jobs.length > 0, shared, `${titleOf(each)}: handed out`);
  }
  engine.dispose();
}

/** Cases of the page that need nothing but the library; the policy's comes last, as it is remembered. */
export const threadCases = [
  {
    name: "threads: capabilities say what there is",
    async run(library: Library) {
      const { available, reason } = library.capabilities().threads;
      equal(available, shared, "available");
      equal(reason, shared ? undefined : "no-shared-memory", "reason");
    },
  },
  {
    name: "threads: the package's own worker computes the same bits",
    async run(library: Library) {
      const engine = await library.createEngine({ threads: 3 });
      const { threads, threadsReason } = engine.stats();
      equal(threads, shared ? 3 : 1, "threads");
      equal(threadsReason, shared ? undefined : "no-shared-memory", "reason");
      for (let i = 0; i < 5; i++) sameBits(run(library, engine), run(library), "out");
      engine.dispose();
    },
  },
  ...[2, 7, 16].map((threads) => ({
    name: `threads: every export that computes has the bits of one thread on ${threads}`,
    run: (library: Library) => compareTable(library, threads),
  })),
  {
    name: "threads: a worker that the policy forbids leaves one thread",
    async run(library: Library) {
      const address = URL.createObjectURL(new Blob(["postMessage(0)"], { type: "text/javascript" }));
      const engine = await library.createEngine({ threads: 2, createWorker: () => new Worker(address) });
      sameBits(run(library, engine), run(library), "out");
      equal(engine.stats().threads, 1, "threads");
      // Some engines report the violation only after the worker's own error.
      for (let i = 0; shared && engine.stats().threadsReason !== "csp" && i < 200; i++) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      equal(engine.stats().threadsReason, shared ? "csp" : "no-shared-memory", "reason");
      engine.dispose();
    },
  },
];
