/** Threads in a page: on engines that share memory they compute the same bits; elsewhere the same call works on one thread. */

import { paintBell } from "../../../ts/wasm/self-test.ts";
import { createContext } from "../../conformance/context.ts";
import { type Case, type Context, equal, type Library, ok, sameBits } from "../../conformance/harness.ts";

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

/** A cut of the conformance cases, on three threads that share whatever can be shared. */
export async function conformanceOnThreads(
  library: Library,
  { load, wasm }: Pick<Context, "load" | "wasm">,
  cases: readonly Case[],
): Promise<void> {
  const make = () => new Worker("/dist/thread-browser.js", { type: "module" });
  const options = { threads: 3, createWorker: Object.assign(make, { leastWork: 0 }) };
  const { context } = createContext({ library, load, wasm, long: false, options });
  const cut = cases.filter(({ name, needs }) => /^(contract|operator|cache)/.test(name) && needs === undefined);
  ok(cut.length > 200, `only ${cut.length} cases`);
  for (const { name, run } of cut) {
    try {
      await run(context);
    } catch (cause) {
      throw new Error(`${name}: ${String(cause)}`, { cause });
    }
  }
  (await context.engine("strict")).dispose();
}
