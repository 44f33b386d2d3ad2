/**
 * What runs in an engine: the conformance cases that Node and every browser run too, then its own. Every result is a line
 * of JSON. All engines are disposed of, and so the program must end by itself.
 */
import { readFile } from "node:fs/promises";
import * as saccade from "saccade";
import * as nn from "saccade/nn";
import * as vision from "saccade/vision";
import { createWorkerEngine } from "saccade/worker";
import { allCases } from "../conformance/cases.ts";
import { createContext } from "../conformance/context.ts";
import { type Context, wasmFile } from "../conformance/harness.ts";
import { type EngineTools, engineCases } from "./cases.ts";

/** Said apart, since bundlers look for files beside a module. */
const here = import.meta.url;
const load: Context["load"] = async (path) => JSON.parse(await readFile(new URL(`data/${path}`, here), "utf8"));
const wasm: Context["wasm"] = async (build, module) =>
  new Uint8Array(await readFile(new URL(import.meta.resolve(`saccade/${wasmFile(build, module)}`))));

const say = (line: object): void => console.log(JSON.stringify(line));

async function one(group: "conformance" | "engine", name: string, skip: boolean, run: () => unknown): Promise<void> {
  say({ group, name, status: "begun" });
  if (skip) {
    say({ group, name, status: "skipped" });
    return;
  }
  try {
    await run();
    say({ group, name, status: "passed" });
  } catch (error) {
    say({ group, name, status: "failed", message: String((error as Error)?.stack ?? error) });
  }
}

const { context } = createContext({ library: saccade, load, wasm, long: false });
const cases = await allCases(load);
for (const { name, needs, run } of cases) {
  await one("conformance", name, needs === "relaxedSimd" && !context.relaxedSimd, () => run(context));
}
const tools: EngineTools = {
  packages: { saccade, "saccade/nn": nn, "saccade/vision": vision },
  ...{ createWorkerEngine, load, wasm },
};
for (const { name, run } of engineCases) await one("engine", name, false, () => run(tools, cases));
say({ status: "done" });
