// Runs the built package in Deno and Bun:  node tests/engines/run.mjs [--only=NAME]
// Both come from npm, into this folder alone. The program holds the conformance cases that Node and browsers run too, and
// cases of its own about threads and workers.
import { cpSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "vite";
import { lastLines } from "../../scripts/setup/failure.mjs";
import { installLocked } from "../../scripts/setup/node-packages.mjs";
import { start, stop, stopEverything, temporaryFolder } from "../browser/processes.mjs";
import { runSuite } from "../run-suite.mjs";
import { engines } from "./engines.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "../..");
const args = process.argv.slice(2);
if (args.includes("--help")) {
  console.log("usage: node tests/engines/run.mjs [--only=deno|bun]");
  console.log("CI=true demands both.");
  process.exit(0);
}
const only = args
  .find((arg) => arg.startsWith("--only="))
  ?.slice("--only=".length)
  .toLowerCase();
const required = process.env.CI === "true" || process.env.CI === "1";
/** A single case that takes longer than this has hung. */
const CASE_LIMIT = 60_000;
/** A program that has said that it is done ends within this time, or something keeps it. */
const END_LIMIT = 10_000;

/** A folder with the package as it is installed, and the programs. */
async function arrange() {
  const folder = temporaryFolder("saccade-engines-");
  const installed = join(folder, "node_modules/saccade");
  for (const name of ["package.json", "dist"]) cpSync(join(root, name), join(installed, name), { recursive: true });
  const { version } = createRequire(import.meta.url)("../../package.json");
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({ private: true, type: "module", dependencies: { saccade: version } }),
  );
  cpSync(join(here, "ends.mjs"), join(folder, "ends.mjs"));
  cpSync(join(root, "tests/data"), join(folder, "data"), { recursive: true });
  for (const name of ["delays.mjs", "delayed-node.mjs", "other-thread.mjs"]) {
    cpSync(join(root, "tests/threads", name), join(folder, "threads", name));
  }
  const entry = { program: join(here, "program.ts"), list: join(root, "tests/conformance/cases.ts") };
  await build({
    ...{ configFile: false, logLevel: "error", publicDir: false, root },
    build: {
      ...{ target: "esnext", minify: false, emptyOutDir: false, outDir: folder, reportCompressedSize: false },
      lib: { entry, formats: ["es"], fileName: (_, name) => `${name}.mjs` },
      rollupOptions: { external: [/^saccade/, /^node:/] },
    },
  });
  const { allCases } = await import(pathToFileURL(join(folder, "list.mjs")).href);
  const load = async (path) => JSON.parse(await readFile(join(root, "tests/data", path), "utf8"));
  return { folder, count: (await allCases(load)).length };
}

/** Runs a program line by line; gives its exit code, or undefined where it had to be stopped. */
function runProgram(executable, args, cwd, onLine) {
  return new Promise((resolve, reject) => {
    const child = start(executable, args, { cwd, stdio: ["ignore", "pipe", "inherit"] });
    let timer;
    let stopped = false;
    const wait = (milliseconds) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        stopped = true;
        stop(child);
      }, milliseconds);
    };
    wait(CASE_LIMIT);
    createInterface({ input: child.stdout }).on("line", (line) => wait(onLine(line) ?? CASE_LIMIT));
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve(stopped ? undefined : code);
    });
  });
}

const tally = (results, status) => results.filter((result) => result.status === status).length;

async function runEngine({ name, run }, executable, { folder, count }) {
  const started = Date.now();
  const results = [];
  let current = "the program to start";
  let done = false;
  const code = await runProgram(executable, run("program.mjs", folder), folder, (line) => {
    if (!line.startsWith("{")) {
      console.log(line);
      return undefined;
    }
    const result = JSON.parse(line);
    if (result.status === "begun") current = result.name;
    else if (result.status === "done") done = true;
    else results.push(result);
    return done ? END_LIMIT : undefined;
  });
  const own = (what, passed, message) =>
    results.push({ group: "engine", name: what, status: passed ? "passed" : "failed", message });
  own("the program runs to its end", done, `exit code ${code}, last seen in: ${current}`);
  own("it ends by itself once its engines are disposed of", done && code === 0, `exit code ${code}`);
  let said = "";
  const end = await runProgram(executable, run("ends.mjs", folder), folder, (line) => {
    said += line;
    return END_LIMIT;
  });
  own("threads do not keep a program from ending", end === 0 && said === "3 1", `exit code ${end}, said "${said}"`);
  const conformance = results.filter(({ group }) => group === "conformance").length;
  own("it runs as many conformance cases as Node", conformance === count, `${conformance}, Node runs ${count}`);

  for (const { name: what, status, message } of results) {
    if (status === "failed") console.error(`  FAILED ${name}: ${what}\n    ${message}`);
  }
  const [passed, failed, skipped] = ["passed", "failed", "skipped"].map((status) => tally(results, status));
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  console.log(`engine ${name}: ${passed} passed, ${failed} failed, ${skipped} skipped (${seconds} s)`);
  return { passed, failed, skipped, cases: results.length };
}

async function main() {
  const packages = join(here, "node_modules");
  const { result } = await installLocked(here, ["--ignore-scripts"], (text) => console.log(text));
  if (result && !result.ok)
    console.log(`npm ci failed: ${lastLines(result.output, 1)[0] ?? "npm could not be started"}`);
  const arranged = await arrange();
  const runs = [];
  let absent = 0;
  let failed = 0;
  for (const engine of engines) {
    if (only && engine.name.toLowerCase() !== only) continue;
    const executable = engine.find(packages);
    if (executable) {
      runs.push(await runEngine(engine, executable, arranged));
      continue;
    }
    console.log(`SKIPPED engine ${engine.name}: npm has none for this machine, or could not install it`);
    absent += 1;
    if (required) {
      console.error(`  FAILED ${engine.name}: every engine is required here`);
      failed += 1;
    }
  }
  const sum = (key) => runs.reduce((total, run) => total + run[key], 0);
  failed += sum("failed");
  // An absent engine skips what a present one runs; where none is present, the cases that Node knows.
  const skipped = sum("skipped") + (required ? 0 : absent * (runs[0]?.cases ?? arranged.count));
  console.log(`engines: ${sum("passed")} passed, ${failed} failed, ${skipped} skipped`);
  return failed === 0 ? 0 : 1;
}

await runSuite("engines", main, stopEverything);
