/** The list of cases, told to vitest, on engines made with any options. */
import { readFile } from "node:fs/promises";
import * as library from "saccade";
import { afterAll, describe, it } from "vitest";
import { allCases } from "./cases.ts";
import { createContext } from "./context.ts";
import { type Build, type ModuleName, wasmFile } from "./harness.ts";

const root = new URL("../../", import.meta.url);
const { SACCADE_LONG } = process.env;
const long = SACCADE_LONG === "1";

/** The JSON of a file under `tests/data`. */
export const load = async (path: string): Promise<unknown> =>
  JSON.parse(await readFile(new URL(`tests/data/${path}`, root), "utf8"));
const wasm = async (build: Build, module?: ModuleName) =>
  new Uint8Array(await readFile(new URL(`dist/${wasmFile(build, module)}`, root)));

export const cases = await allCases(load);

/** Runs every case. `done` is told the largest of what the cases have noted. */
export function describeConformance(
  title: string,
  options: library.InitOptions = {},
  done: (records: ReadonlyMap<string, number>) => void = () => {},
): void {
  const { context, records } = createContext({ library, load, wasm, long, options });
  describe(title, () => {
    for (const { name, needs, run } of cases) {
      it.skipIf(needs === "relaxedSimd" && !context.relaxedSimd)(name, { timeout: long ? 600_000 : 60_000 }, () =>
        run(context),
      );
    }

    afterAll(async () => {
      done(records);
      for (const build of ["strict", "fast"] as const) {
        if (build === "strict" || context.relaxedSimd) (await context.engine(build)).dispose();
      }
    });
  });
}
