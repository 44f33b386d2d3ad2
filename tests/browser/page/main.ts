/**
 * Runs the cases of this page one after another and leaves a report on globalThis, as JSON text.
 * The address says which: `…/strict/` runs the entry's own cases, then all conformance cases; `…/forbidden/`, whose
 * security policy forbids wasm, runs the cases for that; `…/plain/`, which is not isolated, those of workers.
 */
import { allCases } from "../../conformance/cases.ts";
import { createContext } from "../../conformance/context.ts";
import type { Build, Case, Context, Library, ModuleName } from "../../conformance/harness.ts";
import { wasmFile } from "../../conformance/harness.ts";
import { conformanceOnThreads } from "../../conformance/on-threads.ts";
import { entryCases, forbiddenCases, type PageTools } from "./entry-cases.ts";
import { threadCases } from "./thread-cases.ts";
import { workerPageCases } from "./worker-cases.ts";

export interface Report {
  done: boolean;
  current: string;
  results: {
    name: string;
    group: "entry" | "conformance";
    status: "passed" | "failed" | "skipped";
    message?: string;
  }[];
  records: [string, number][];
  /** Set when the page itself broke. */
  broken?: string;
}

const report: Report = { done: false, current: "", results: [], records: [] };
const publish = () => {
  (globalThis as unknown as { saccadeReport: string }).saccadeReport = JSON.stringify(report);
};

/** The whole answer, or an error that names the address. */
async function answer(url: string): Promise<Response> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response;
}

/** The message, and where it was thrown; some engines leave the message out of the stack. */
function describe(error: unknown): string {
  const places = String((error as Error)?.stack ?? "")
    .split("\n")
    .filter((line) => /^\s*at |@/.test(line));
  const cause = (error as Error)?.cause;
  return [String(error), ...places.slice(0, 3), ...(cause ? [`caused by ${describe(cause)}`] : [])].join("\n    ");
}

async function one(group: "entry" | "conformance", name: string, skip: boolean, run: () => unknown): Promise<void> {
  if (skip) {
    report.results.push({ name, group, status: "skipped" });
    return;
  }
  report.current = name;
  publish();
  try {
    await run();
    report.results.push({ name, group, status: "passed" });
  } catch (error) {
    report.results.push({ name, group, status: "failed", message: describe(error) });
  }
  // Lets the driver read the report between two cases.
  await new Promise((resolve) => setTimeout(resolve));
}

async function runAll(): Promise<void> {
  // Not bundled: the file that the package ships is what runs.
  const plain = location.pathname.startsWith("/plain/");
  const address = new URL(plain ? "dist/browser.js" : "/dist/browser.js", location.href).href;
  const library = (await import(/* @vite-ignore */ address)) as Library;
  const tools: PageTools = { library, answer };
  const forbidden = location.pathname.startsWith("/forbidden/");
  for (const { name, run } of forbidden ? forbiddenCases : plain ? workerPageCases : entryCases) {
    await one("entry", name, false, () => run(tools));
  }
  if (forbidden || plain) return;

  const load: Context["load"] = async (path) => (await answer(`/data/${path}`)).json();
  const wasm = async (build: Build, module?: ModuleName) =>
    new Uint8Array(await (await answer(`/dist/${wasmFile(build, module)}`)).arrayBuffer());
  const long = new URLSearchParams(location.search).has("long");
  const { context, records } = createContext({ library, load, wasm, long });
  const cases: Case[] = await allCases(load);
  for (const { name, needs, run } of cases) {
    await one("conformance", name, needs === "relaxedSimd" && !context.relaxedSimd, () => run(context));
  }
  report.records = [...records];
  const createWorker = () => new Worker("/dist/thread-browser.js", { type: "module" });
  await one("entry", "threads: a cut of the conformance cases", false, () =>
    conformanceOnThreads({ library, load, wasm, createWorker }, cases),
  );
  for (const { name, run } of threadCases) await one("entry", name, false, () => run(library));
}

runAll()
  .catch((error: unknown) => {
    report.broken = describe(error);
  })
  .finally(() => {
    report.done = true;
    publish();
  });
