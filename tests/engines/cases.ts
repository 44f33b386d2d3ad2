/** What an engine with workers of Node must do, beside the conformance cases: threads, their faults, workers. */
import { Worker } from "node:worker_threads";
import type { Engine as SaccadeEngine } from "saccade";
import { type Build, type Case, type Context, equal, ok, sameBits, throws } from "../conformance/harness.ts";
import { conformanceOnThreads } from "../conformance/on-threads.ts";
import { compare, type Expected, expectedOf, tableCases, titleOf } from "../threads/bits.ts";
import { type Packages, paint } from "../threads/case.ts";

export interface EngineTools {
  readonly packages: Packages;
  readonly createWorkerEngine: typeof import("saccade/worker").createWorkerEngine;
  readonly load: Context["load"];
  readonly wasm: Context["wasm"];
}

export interface EngineCase {
  readonly name: string;
  readonly run: (tools: EngineTools, conformance: readonly Case[]) => unknown;
}

const x = () => paint(1, 1, 512, 4, 64);
const run = ({ packages }: EngineTools, engine?: SaccadeEngine) => {
  const { data } = packages.saccade.attention(x(), x(), x(), { engine }).out;
  return data as Float32Array;
};

/** Said apart, since bundlers look for workers beside a module. */
const here = import.meta.url;
/** The package's thread with something in its way: a file beside this program. */
const other = (file: string, workerData: object) => () => new Worker(new URL(`threads/${file}`, here), { workerData });

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** The error of a call in which a bad thread takes part; it need not get a chunk of the first one. */
function failure(tools: EngineTools, engine: SaccadeEngine): { code?: unknown } {
  for (let tries = 0; tries < 1000; tries++) {
    try {
      run(tools, engine);
    } catch (error) {
      return error as { code?: unknown };
    }
  }
  throw new Error("no call failed");
}

let expected: Expected | undefined;

const table = (threads: number): EngineCase => ({
  name: `every export that computes has the bits of one thread on ${threads}`,
  async run({ packages }) {
    const one = await packages.saccade.createEngine();
    expected ??= await expectedOf(packages, one);
    one.dispose();
    const createWorker = other("delayed-node.mjs", { seed: threads });
    const engine = await packages.saccade.createEngine({ threads, createWorker });
    equal(engine.stats().threads, threads, "threads");
    for (const each of tableCases) {
      const jobs = await compare(each, packages, engine, expected);
      equal(jobs.length > 0, true, `${titleOf(each)}: handed out`);
    }
    engine.dispose();
  },
});

const replaced = (how: string, code: string): EngineCase => ({
  name: `a thread that ${how} gives ${code}; others take its place`,
  async run(tools) {
    let made = 0;
    const good = other("delayed-node.mjs", { seed: 1 });
    const createWorker = () => (++made === 1 ? other("other-thread.mjs", { how })() : good());
    const engine = await tools.packages.saccade.createEngine({ threads: 2, createWorker });
    equal(failure(tools, engine).code, code, "code");
    sameBits(run(tools, engine), run(tools), "out");
    await until(() => engine.stats().threads === 2);
    sameBits(run(tools, engine), run(tools), "out");
    equal(made, 2, "threads made");
    engine.dispose();
  },
});

export const engineCases: readonly EngineCase[] = [
  {
    name: "the first call makes an engine",
    run(tools) {
      ok(run(tools).every(Number.isFinite), "out");
    },
  },
  {
    name: "threads can be had, and initSync refuses them",
    run({ packages: { saccade } }) {
      equal(JSON.stringify(saccade.capabilities().threads), '{"available":true}', "capabilities().threads");
      const refused = () => saccade.initSync({ threads: 2 as 1 });
      throws(refused, saccade.SaccadeError, "ERR_SACCADE_UNSUPPORTED", "initSync");
    },
  },
  ...(["strict", "fast"] as const).flatMap((build: Build) =>
    [1, 2, 3].map(
      (threads): EngineCase => ({
        name: `the package's own threads: ${build}, ${threads}`,
        async run(tools) {
          const { saccade } = tools.packages;
          if (build === "fast" && !saccade.capabilities().relaxedSimd) return;
          const [one, engine] = [
            await saccade.createEngine({ build }),
            await saccade.createEngine({ build, threads }),
          ] as const;
          equal(engine.stats().threads, threads, "threads");
          for (let i = 0; i < 5; i++) sameBits(run(tools, engine), run(tools, one), "out");
          const x = saccade.Tensor.zeros([2 ** 22], "float32", { engine });
          sameBits(run(tools, engine), run(tools, one), "out after the memory has grown");
          x.dispose();
          for (const each of [one, engine]) each.dispose();
        },
      }),
    ),
  ),
  table(2),
  table(7),
  {
    name: "a cut of the conformance cases on three threads",
    run({ packages, load, wasm }, conformance) {
      const createWorker = other("delayed-node.mjs", { seed: 5 });
      return conformanceOnThreads({ library: packages.saccade, load, wasm, createWorker }, conformance);
    },
  },
  replaced("fails", "ERR_SACCADE_WORKER"),
  replaced("hangs", "ERR_SACCADE_TIMEOUT"),
  {
    name: "a thread that is killed is replaced, and nothing is lost",
    async run(tools) {
      const workers: Worker[] = [];
      const createWorker = () => {
        workers.push(other("delayed-node.mjs", { seed: 3 })());
        return workers.at(-1)!;
      };
      const engine = await tools.packages.saccade.createEngine({ threads: 3, createWorker });
      await workers[0]!.terminate();
      await until(() => engine.stats().threads === 2);
      sameBits(run(tools, engine), run(tools), "out");
      await until(() => engine.stats().threads === 3);
      sameBits(run(tools, engine), run(tools), "out");
      engine.dispose();
    },
  },
  {
    name: "a thread that does not start leaves one, and says why",
    async run(tools) {
      const createWorker = other("other-thread.mjs", { how: "throws" });
      const engine = await tools.packages.saccade.createEngine({ threads: 2, createWorker });
      const { threads, threadsReason } = engine.stats();
      equal(`${threads} ${threadsReason}`, "1 worker-error", "threads");
      sameBits(run(tools, engine), run(tools), "out");
      engine.dispose();
    },
  },
  {
    name: "an idle thread ends, and comes again",
    async run(tools) {
      const engine = await tools.packages.saccade.createEngine({ threads: 2, idleTimeoutMs: 1 });
      await until(() => engine.stats().threads === 1);
      equal(engine.stats().threadsReason, "idle", "reason");
      sameBits(run(tools, engine), run(tools), "out");
      engine.dispose();
    },
  },
  {
    name: "a worker of its own answers with the same bits",
    async run(tools) {
      const remote = await tools.createWorkerEngine();
      const { out } = await remote.attention(x(), x(), x());
      sameBits(out.data as Float32Array, run(tools), "out");
      remote.dispose();
    },
  },
];
