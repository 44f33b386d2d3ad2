/** Every export that computes has the bits of one thread on any number of threads, whatever delays its workers. */
import { Worker } from "node:worker_threads";
import * as saccade from "saccade";
import * as nn from "saccade/nn";
import * as vision from "saccade/vision";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { OPERATORS } from "../../ts/wasm/operator.ts";
import { compare, type Expected, expectedOf, tableCases, titleOf } from "./bits.ts";
import type { Engine, Packages } from "./case.ts";

const { SACCADE_LONG } = process.env;
const long = SACCADE_LONG === "1";

const packages: Packages = { saccade, "saccade/nn": nn, "saccade/vision": vision };
let expected: Expected;
beforeAll(async () => {
  const one = await saccade.createEngine();
  expected = await expectedOf(packages, one);
  one.dispose();
}, 120_000);

const delayed = new URL("./delayed-node.mjs", import.meta.url);
let seed = 1;
const newWorker = () => new Worker(delayed, { workerData: { seed: seed++ }, execArgv: [] });

/** What has been handed out to threads so far. */
const handedOut = new Set<string>();

describe.each([1, 2, 3, 4, 7, 8, 16])("%i threads", (threads) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await saccade.createEngine({ threads, createWorker: newWorker });
    expect(engine.stats().threads).toBe(threads);
  });
  afterAll(() => engine.dispose());

  it.each(tableCases.map((each) => [titleOf(each), each] as const))("%s", async (_, each) => {
    const jobs = await compare(each, packages, engine, expected);
    expect(jobs.length > 0, String(jobs)).toBe(threads > 1);
    for (const job of jobs) handedOut.add(job);
  });
});

// Every tile a chunk, handed out however little there is to do, again and again.
describe.runIf(long)("any number of threads, in the smallest chunks", () => {
  const eager = Object.assign(() => newWorker(), { leastWork: 0 });
  it.each(Array.from({ length: 16 }, (_, i) => i + 1))("%i", { timeout: 600_000 }, async (threads) => {
    const engine = await saccade.createEngine({ threads, createWorker: eager });
    for (let round = 0; round < 3; round++) {
      for (const each of tableCases) await compare(each, packages, engine, expected);
    }
    engine.dispose();
  });
});

/** What there is to do is not for the wasm, or has no tiles: it says, reads or checks something. */
const COMPUTE_NOTHING = [
  ...["alibiSlopes", "capabilities", "createEngine", "decodePartial", "encodePartial", "init", "initSync"],
  ...["planAttention", "SaccadeError", "SaccadeRangeError", "SaccadeTypeError"],
  // What a pooling is told to use.
  ...[
    "Score",
    "additive",
    "boxcar",
    "concat",
    "cosine",
    "dot",
    "epanechnikov",
    "gaussian",
    "general",
    "location",
    "mlp",
  ],
  ...["scaledDot", "triangular", "gumbel", "hardmax", "sample", "sigmoid", "softmax", "sparsemax", "sum", "threshold"],
  "topK",
  ...["Tensor.dispose", "Tensor.toPlain", "Tensor.view"],
  ...["BitMask.and", "BitMask.not", "BitMask.or", "BitMask.toTensor"],
  ...["KvCache.dispose", "KvCache.fork", "KvCache.reorder", "KvCache.serialize", "KvCache.truncate"],
];

describe("the table", () => {
  it("has a case for every function and every method that computes", () => {
    const functions = Object.values(packages).flatMap((entry) =>
      Object.entries(entry as Readonly<Record<string, unknown>>).flatMap(([name, value]) => {
        if (typeof value !== "function") return [];
        const methods = Object.entries(Object.getOwnPropertyDescriptors(value.prototype ?? {}))
          .filter(([method, { value }]) => method !== "constructor" && typeof value === "function")
          .map(([method]) => `${name}.${method}`);
        return methods.length > 0 ? methods : [name];
      }),
    );
    const cased = new Set(tableCases.map(({ name }) => name));
    const known = new Set([...cased, ...COMPUTE_NOTHING]);
    const isTwin = (name: string) => name.endsWith("Async") && known.has(name.slice(0, -5));
    const missing = functions.filter((name) => !known.has(name) && !isTwin(name) && !name.endsWith(".dispose"));
    expect(missing).toEqual([]);
    expect([...known].filter((name) => !functions.includes(name))).toEqual([]);
  });

  it("hands out every operator of the wasm", () => {
    // headVector adds a vector to each query row: what follows it does as much for every key.
    const shared = Object.keys(OPERATORS).filter((name) => name !== "headVector");
    expect([...handedOut].sort()).toEqual([...shared, "attention", "cache", "merge"].sort());
  });
});
