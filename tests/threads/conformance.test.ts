/** The list of cases that every engine runs, on three threads that share whatever can be shared. */
import { readFile } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import * as library from "saccade";
import { afterAll, describe, it } from "vitest";
import { allCases } from "../conformance/cases.ts";
import { createContext } from "../conformance/context.ts";
import { type Build, type ModuleName, wasmFile } from "../conformance/harness.ts";

const root = new URL("../../", import.meta.url);
const load = async (path: string): Promise<unknown> =>
  JSON.parse(await readFile(new URL(`tests/data/${path}`, root), "utf8"));
const wasm = async (build: Build, module?: ModuleName) =>
  new Uint8Array(await readFile(new URL(`dist/${wasmFile(build, module)}`, root)));
const { SACCADE_LONG } = process.env;
const long = SACCADE_LONG === "1";

const thread = new URL("dist/thread-node.js", root);
const createWorker = Object.assign(() => new Worker(thread, { execArgv: [] }), { leastWork: 0 });
const options = { threads: 3, createWorker };

const { context } = createContext({ library, load, wasm, long, options });
const cases = await allCases(load);

describe("conformance on three threads", () => {
  for (const { name, needs, run } of cases) {
    it.skipIf(needs === "relaxedSimd" && !context.relaxedSimd)(name, { timeout: long ? 600_000 : 60_000 }, () =>
      run(context),
    );
  }

  afterAll(async () => {
    for (const build of ["strict", "fast"] as const) {
      if (build === "strict" || context.relaxedSimd) (await context.engine(build)).dispose();
    }
  });
});
