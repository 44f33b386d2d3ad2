// Runs one page of cases in every browser engine on this machine:  node tests/browser/run.mjs [--only=NAME] [--long]
// The page holds the conformance cases that Node runs too, and a few of the browser's entry; the counts must be equal.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "vite";
import { runSuite } from "../run-suite.mjs";
import { engines } from "./engines.mjs";
import { delay, stopEverything, temporaryFolder, within } from "./processes.mjs";
import { serve } from "./server.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const args = process.argv.slice(2);
if (args.includes("--help")) {
  console.log("usage: node tests/browser/run.mjs [--only=chromium|firefox|webkitgtk] [--long]");
  console.log(
    "CHROMIUM_BIN, FIREFOX_BIN, WEBKIT_DRIVER, WEBKIT_BROWSER and XVFB_BIN name executables; CI=true demands all.",
  );
  process.exit(0);
}
const only = args
  .find((arg) => arg.startsWith("--only="))
  ?.slice("--only=".length)
  .toLowerCase();
const long = args.includes("--long") || process.env.SACCADE_LONG === "1";
const required = process.env.CI === "true" || process.env.CI === "1";
const PAGE_LIMIT = long ? 30 * 60_000 : 120_000;
/** A single case that takes longer than this has hung. */
const CASE_LIMIT = long ? 10 * 60_000 : 60_000;

/** The page, and the list of cases as a module that Node can ask for their number. */
async function bundle() {
  const folder = temporaryFolder("saccade-page-");
  const shared = { configFile: false, logLevel: "warn", publicDir: false };
  const output = {
    target: "esnext",
    emptyOutDir: false,
    minify: false,
    modulePreload: false,
    reportCompressedSize: false,
  };
  await build({
    ...shared,
    root: join(root, "tests/browser/page"),
    base: "./",
    build: { ...output, outDir: join(folder, "page") },
  });
  await build({
    ...shared,
    root,
    build: {
      ...output,
      outDir: join(folder, "list"),
      lib: { entry: join(root, "tests/conformance/cases.ts"), formats: ["es"], fileName: () => "cases.mjs" },
    },
  });
  const { allCases } = await import(pathToFileURL(join(folder, "list/cases.mjs")).href);
  const load = async (path) => JSON.parse(await readFile(join(root, "tests/data", path), "utf8"));
  return { page: join(folder, "page"), count: (await allCases(load)).length };
}

/** Opens a page and waits for its report; a page that stands still is given up. */
async function reportOf(driver, url) {
  await driver.open(url);
  const limit = Date.now() + PAGE_LIMIT;
  let current = "the page to load";
  let since = Date.now();
  for (;;) {
    const text = await within(30_000, `reading the report during "${current}"`, driver.read("saccadeReport")).catch(
      // A long case keeps the page from answering; the two limits below decide when that is too long.
      () => null,
    );
    const report = text && JSON.parse(text);
    if (report?.done) return report;
    if (report && report.current !== current) {
      current = report.current;
      since = Date.now();
    }
    if (Date.now() - since > CASE_LIMIT)
      throw new Error(`nothing more for ${CASE_LIMIT / 1000} s, last seen in: ${current}`);
    if (Date.now() > limit) throw new Error(`not done after ${PAGE_LIMIT / 1000} s, last seen in: ${current}`);
    await delay(100);
  }
}

const tally = (results, status) => results.filter((result) => result.status === status).length;

async function runEngine(engine, executable, origin, counts) {
  const started = Date.now();
  let version = "";
  const results = [];
  const failures = [];
  let driver;
  try {
    driver = await within(90_000, `starting ${engine.name}`, engine.start(executable));
    version = driver.version;
    const reports = [];
    for (const path of ["/strict/", "/plain/", "/forbidden/"]) {
      const report = await reportOf(driver, `${origin}${path}${long ? "?long" : ""}`);
      reports.push(report);
      results.push(...report.results);
      if (report.broken) failures.push(`${path} broke: ${report.broken}`);
    }
    for (const { name, status, message } of results) if (status === "failed") failures.push(`${name}\n    ${message}`);
    const conformance = results.filter(({ group }) => group === "conformance").length;
    if (conformance !== counts.conformance) {
      failures.push(`ran ${conformance} conformance cases, Node runs ${counts.conformance}`);
    }
    for (const [name, value] of reports[0].records) console.log(`  largest ${name}: ${value.toPrecision(3)}`);
  } catch (error) {
    failures.push(String(error.stack ?? error));
  } finally {
    await driver?.close().catch((error) => console.error(`  closing ${engine.name}: ${error.message}`));
  }
  // Whatever failed beside the cases (a crash, a count) counts as one failure more.
  const beside = failures.length - tally(results, "failed");
  const passed = tally(results, "passed");
  const failed = tally(results, "failed") + beside;
  const skipped = tally(results, "skipped");
  for (const failure of failures) console.error(`  FAILED ${engine.name}: ${failure}`);
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  console.log(
    `browser ${engine.name} ${version}: ${passed} passed, ${failed} failed, ${skipped} skipped (${seconds} s)`,
  );
  return { name: engine.name, passed, failed, skipped, cases: results.length };
}

async function main() {
  const { page, count } = await bundle();
  const wasm = await readFile(join(root, "dist/saccade.strict.wasm"));
  const server = await serve({
    mounts: {
      "/strict/": page,
      "/forbidden/": page,
      "/plain/dist/": join(root, "dist"),
      "/plain/": page,
      "/dist/": join(root, "dist"),
      "/data/": join(root, "tests/data"),
      "/threads/": join(root, "tests/threads"),
    },
    answers: {
      "/answers/page.wasm": {
        status: 200,
        headers: { "content-type": "text/html; charset=utf-8" },
        body: "<!doctype html><title>An application's fallback page</title>",
      },
      "/answers/missing.wasm": { status: 404, headers: { "content-type": "text/plain" }, body: "not found" },
      "/answers/short.wasm": {
        status: 200,
        headers: { "content-type": "application/wasm" },
        body: wasm.subarray(0, wasm.length >> 1),
      },
      "/plain/silent-worker.js": { status: 200, headers: { "content-type": "text/javascript" }, body: "" },
      "/plain/dying-worker.js": {
        status: 200,
        headers: { "content-type": "text/javascript" },
        body: 'import "/plain/dist/worker-host-browser.js"; addEventListener("message", ({ data }) => data === "die" && close());',
      },
      "/answers/untyped.wasm": { status: 200, headers: { "content-type": "application/octet-stream" }, body: wasm },
    },
  });
  const runs = [];
  let absent = 0;
  let failed = 0;
  try {
    for (const engine of engines) {
      if (only && engine.name.toLowerCase() !== only) continue;
      const executable = engine.find();
      if (executable) {
        runs.push(await runEngine(engine, executable, server.origin, { conformance: count }));
        continue;
      }
      console.log(`SKIPPED browser ${engine.name}: not found (install with ${engine.install})`);
      absent += 1;
      if (required) {
        console.error(`  FAILED ${engine.name}: every engine is required here`);
        failed += 1;
      }
    }
  } finally {
    await server.close();
  }
  const cases = new Set(runs.map((run) => run.cases));
  if (cases.size > 1) {
    console.error(
      `  FAILED: engines ran different numbers of cases: ${runs.map((r) => `${r.name} ${r.cases}`).join(", ")}`,
    );
    failed += 1;
  }
  const sum = (key) => runs.reduce((total, run) => total + run[key], 0);
  failed += sum("failed");
  // An absent engine skips what a present one runs; where none is present, the cases that Node knows.
  const perEngine = runs[0]?.cases ?? count;
  const skipped = sum("skipped") + (required ? 0 : absent * perEngine);
  console.log(`browsers: ${sum("passed")} passed, ${failed} failed, ${skipped} skipped`);
  return failed === 0 ? 0 : 1;
}

await runSuite("browsers", main, stopEverything);
