/** `saccade/worker` on a page that is not cross-origin isolated and may evaluate nothing but wasm, nor may its worker. */
import { equal, type Library, ok, rejects } from "../../conformance/harness.ts";
import { counted, type WorkerCase, workerCases } from "../../worker/cases.ts";
import { outcomeOf, same, sameOutcome } from "../../worker/same.ts";
import type { PageCase } from "./entry-cases.ts";

type WorkerLibrary = typeof import("saccade/worker");
type WorkerEngine = Awaited<ReturnType<WorkerLibrary["createWorkerEngine"]>>;
type Callable = (...args: unknown[]) => unknown;

const load = async (): Promise<WorkerLibrary> => {
  // Not bundled: the file that the package ships is what runs.
  const address = new URL("dist/worker-browser.js", location.href).href;
  return (await import(/* @vite-ignore */ address)) as WorkerLibrary;
};

async function withWorker(use: (remote: WorkerEngine) => Promise<void>): Promise<void> {
  const remote = await (await load()).createWorkerEngine();
  try {
    await use(remote);
  } finally {
    remote.dispose();
  }
}

const refused = (library: Library) => library.SaccadeError as never;
const script = (name: string) => () => new Worker(new URL(name, location.href), { type: "module" });
const x = () => counted(2, 3);

async function compare(library: Library, remote: WorkerEngine, { name, args }: WorkerCase): Promise<void> {
  const direct = library[name] as unknown as Callable;
  const there = remote[name] as unknown as Callable;
  const expected = await outcomeOf(() => direct(...args(library)));
  sameOutcome(await outcomeOf(() => there(...args(library))), expected, name);
}

export const workerPageCases: PageCase[] = [
  {
    name: "worker: this page is not isolated and evaluates nothing",
    async run({ library }) {
      equal(globalThis.crossOriginIsolated, false, "crossOriginIsolated");
      let evaluated = false;
      try {
        evaluated = new Function("return true")() as boolean;
      } catch {
        // As it should be.
      }
      equal(evaluated, false, "evaluation of text");
      await library.init();
    },
  },
  ...workerCases.map(
    (each, index): PageCase => ({
      name: `worker: case ${index}, ${each.name}`,
      run: ({ library }) => withShared((remote) => compare(library, remote, each)),
    }),
  ),
  {
    name: "worker: tensors and caches live there",
    run: ({ library }) =>
      withWorker(async (remote) => {
        const rows = counted(1, 5, 1, 4);
        const out = await remote.Tensor.empty([1, 5, 1, 4]);
        const result = await remote.attention(rows, rows, rows, { causal: true, out });
        ok(result.out === (out as unknown), "the target comes back");
        same(await out.toPlain(), library.attention(rows, rows, rows, { causal: true }).out, "out");
        const cache = await remote.KvCache.create({ batch: 1, numKvHeads: 1, headDim: 4, capacity: 64 });
        await cache.append(rows, rows);
        equal(cache.length, 5, "length");
        same((await cache.attend(rows)).out, library.attention(rows, rows, rows, { causal: true }).out, "attend");
        out.dispose();
        cache.dispose();
        equal((await remote.stats()).tensors, 0, "tensors");
      }),
  },
  {
    name: "worker: transfer detaches, at once",
    run: () =>
      withWorker(async (remote) => {
        const given = x();
        const result = remote.linear(given, given, { transfer: true });
        equal(given.data.length, 0, "length");
        equal((await result).data.length, 4, "elements");
      }),
  },
  {
    name: "worker: an aborted call rejects with the reason, and the worker works on",
    run: () =>
      withWorker(async (remote) => {
        const long = counted(1, 1024, 4, 64);
        const abort = new AbortController();
        const outcomes = [1, 2].map(() =>
          outcomeOf(() => remote.attention(long, long, long, { signal: abort.signal })),
        );
        abort.abort("enough");
        for (const outcome of outcomes) {
          const settled = await outcome;
          ok("error" in settled && (settled.error as unknown) === "enough", "rejects with the reason");
        }
        equal((await remote.linear(x(), x())).data.length, 4, "elements");
      }),
  },
  {
    name: "worker: a script that is not there, that is silent, or that ends without a word, ends in an error",
    async run({ library }) {
      const { createWorkerEngine } = await load();
      await rejects(
        createWorkerEngine({ createWorker: script("none.js") }),
        refused(library),
        "ERR_SACCADE_WORKER",
        "none",
      );
      await rejects(
        createWorkerEngine({ createWorker: script("silent-worker.js"), startTimeoutMs: 100 }),
        refused(library),
        "ERR_SACCADE_TIMEOUT",
        "silent",
      );
      let worker: Worker | undefined;
      const createWorker = () => {
        worker = script("dying-worker.js")();
        return worker;
      };
      const remote = await createWorkerEngine({ createWorker });
      await remote.linear(x(), x());
      worker!.postMessage("die");
      await rejects(remote.linear(x(), x()), refused(library), "ERR_SACCADE_WORKER", "dead");
      await rejects(remote.linear(x(), x()), refused(library), "ERR_SACCADE_WORKER", "later");
    },
  },
  {
    name: "worker: dispose rejects what has not been answered",
    run: ({ library }) =>
      withWorker(async (remote) => {
        const pending = remote.linear(x(), x());
        remote.dispose();
        await rejects(pending, refused(library), "ERR_SACCADE_DISPOSED", "pending");
      }),
  },
];

let shared: Promise<WorkerEngine> | undefined;

/** One worker for all small cases. */
async function withShared(use: (remote: WorkerEngine) => Promise<void>): Promise<void> {
  shared ??= load().then(({ createWorkerEngine }) => createWorkerEngine());
  await use(await shared);
}
