import { readFile } from "node:fs/promises";
import * as library from "saccade";
import { afterAll, describe, expect, it } from "vitest";
import { allCases } from "./cases.ts";
import { createContext } from "./context.ts";
import { type Build, type Context, type ModuleName, wasmFile } from "./harness.ts";

const root = new URL("../../", import.meta.url);
const load = async (path: string): Promise<unknown> =>
  JSON.parse(await readFile(new URL(`tests/data/${path}`, root), "utf8"));
const wasm = async (build: Build, module?: ModuleName) =>
  new Uint8Array(await readFile(new URL(`dist/${wasmFile(build, module)}`, root)));
const { SACCADE_LONG } = process.env;
const long = SACCADE_LONG === "1";

const { context, records } = createContext({ library, load, wasm, long });
const cases = await allCases(load);

describe("conformance in Node", () => {
  for (const { name, needs, run } of cases) {
    it.skipIf(needs === "relaxedSimd" && !context.relaxedSimd)(name, { timeout: long ? 600_000 : 60_000 }, () =>
      run(context),
    );
  }

  afterAll(async () => {
    for (const [name, value] of records) console.log(`largest ${name}: ${value.toPrecision(3)}`);
    for (const build of ["strict", "fast"] as const) {
      if (build === "strict" || context.relaxedSimd) (await context.engine(build)).dispose();
    }
  });
});

describe("the stored vectors", () => {
  it("are all run, in both layouts", async () => {
    const file = (await load("contract/contract.json")) as { cases: unknown[] };
    const sdpa = (await load("sdpa/index.json")) as Context[];
    expect(file.cases.length).toBe(118);
    expect(sdpa.length).toBe(113);
    expect(cases.filter(({ name }) => name.startsWith("contract ")).length).toBe(2 * 118);
    expect(cases.filter(({ name }) => name.startsWith("pytorch ")).length).toBe(2 * 113);
  });
});
