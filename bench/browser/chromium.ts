/** Runs the bench in a page of Chromium: bundles it, serves it cross-origin isolated, waits for its report. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { engines } from "../../tests/browser/engines.mjs";
import { delay, removeFolder, stopEverything, temporaryFolder, within } from "../../tests/browser/processes.mjs";
import { serve } from "../../tests/browser/server.mjs";
import { casesLike } from "../cases.ts";
import type { Peaks } from "../roof/roof.mjs";
import type { Row } from "../rows.ts";
import { type Run, THREADS } from "../run.ts";
import type { PageReport } from "./measure.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** Between two polls: rare, since answering takes time from what is measured. */
const POLL_MS = 2000;
/** A block that takes longer has hung. */
const BLOCK_LIMIT = 5 * 60_000;
/** How often a page of other libraries on several threads is opened. */
const TRIES = 3;

export interface PageOptions {
  readonly filter: string;
  readonly quick: boolean;
  readonly peers: boolean;
  readonly say: (line: string) => void;
}

export interface PageRun {
  /** Its name and version. */
  readonly engine: string;
  readonly roof: Peaks;
  readonly run: Run;
}

/** What an engine's start gives. */
interface Driver {
  readonly version: string;
  readonly open: (url: string) => Promise<unknown>;
  readonly read: (name: string) => Promise<unknown>;
  readonly close: () => Promise<void>;
}

/** Null, with a word about it, where there is no Chromium. */
export async function runInChromium({ filter, quick, peers, say }: PageOptions): Promise<PageRun | null> {
  const chromium = engines.find(({ name }) => name === "Chromium")!;
  const executable = chromium.find();
  if (!executable) {
    say(`SKIPPED: Chromium; not found (install with ${chromium.install})`);
    return null;
  }
  process.once("exit", stopEverything);
  const folder = await bundle(peers);
  const body = `<!doctype html><meta charset="utf-8"><title>Saccade bench</title><script type="module" src="/bench/page.js"></script>`;
  const server = await serve({
    mounts: { "/bench/": folder, "/peers/": join(ROOT, "bench/peers/node_modules") },
    answers: { "/": { status: 200, headers: { "content-type": "text/html; charset=utf-8" }, body } },
  });
  const visit = async (threads: number, limit: number): Promise<PageRun> => {
    const driver = (await within(90_000, "starting Chromium", chromium.start(executable))) as Driver;
    try {
      const asked = new URLSearchParams({ filter, threads: String(threads), ...(quick && { quick: "" }) });
      await driver.open(`${server.origin}/?${asked}`);
      const report = await finished(driver, limit, say);
      if (report.broken || !report.run || !report.roof) throw new Error(`the page broke: ${report.broken}`);
      const run = { ...report.run, reads: new Map(report.run.reads) };
      return { engine: `chromium ${driver.version}`, roof: report.roof, run };
    } finally {
      await driver.close();
    }
  };
  try {
    const alone = await visit(1, BLOCK_LIMIT);
    if (!peers || !casesLike(filter).some(({ threaded }) => threaded)) return alone;
    const others = await othersOnThreads((limit) => visit(THREADS, limit), say);
    return { ...alone, run: { ...alone.run, rows: [...alone.run.rows, ...others] } };
  } finally {
    await server.close();
    removeFolder(folder);
  }
}

/**
 * Rows of other libraries on several threads, whose page may hang: onnxruntime-web's has done so once in three starts, the main
 * thread at full load for ever.
 */
async function othersOnThreads(visit: (limit: number) => Promise<PageRun>, say: PageOptions["say"]): Promise<Row[]> {
  for (let tries = 1; ; tries++) {
    try {
      const { run } = await visit(60_000);
      return run.rows.filter(({ by }) => by !== "strict");
    } catch (error) {
      const reason = (error as Error).message.split("\n")[0];
      if (tries === TRIES) {
        say(`SKIPPED: other libraries on ${THREADS} threads; ${reason}`);
        return [];
      }
    }
  }
}

/** `page.js` and what it loads; our library as the package gives it to bundlers. */
async function bundle(peers: boolean): Promise<string> {
  const folder = temporaryFolder("saccade-bench-");
  const entry = (name: string) => join(ROOT, "dist", `${name}.js`);
  await build({
    configFile: false,
    logLevel: "error",
    publicDir: false,
    root: ROOT,
    base: "./",
    resolve: {
      alias: [
        { find: /^saccade$/, replacement: entry("browser") },
        { find: /^saccade\/(nn|vision)$/, replacement: entry("$1-browser") },
      ],
    },
    // Our threads are modules.
    worker: { format: "es" },
    build: {
      outDir: folder,
      emptyOutDir: false,
      target: "esnext",
      minify: false,
      modulePreload: false,
      reportCompressedSize: false,
      assetsInlineLimit: 0,
      rollupOptions: {
        input: join(ROOT, "bench/browser", peers ? "with-peers.ts" : "alone.ts"),
        output: { entryFileNames: "page.js" },
      },
    },
  });
  return folder;
}

/** Asks until the page is done; what it says is passed on as it comes. */
async function finished(driver: Driver, limit: number, say: (line: string) => void): Promise<PageReport> {
  let [current, since, said] = ["the page to load", Date.now(), 0];
  for (;;) {
    // A page at work may not answer for a while: the limit below decides when that is too long.
    const text = await within(30_000, "the page", driver.read("saccadeBench")).catch(() => null);
    const report = typeof text === "string" ? (JSON.parse(text) as PageReport) : undefined;
    for (const line of report?.lines.slice(said) ?? []) say(line);
    said = report?.lines.length ?? said;
    if (report?.done) return report;
    if (report && report.current !== current) [current, since] = [report.current, Date.now()];
    if (Date.now() - since > limit) {
      throw new Error(`nothing more for ${limit / 1000} s, last seen in: ${current}`);
    }
    await delay(POLL_MS);
  }
}
