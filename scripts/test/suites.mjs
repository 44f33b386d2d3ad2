// The test suites: how each is run, and how its own report is counted.
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { stream } from "../setup/commands.mjs";
import { ROOT, STATE } from "../setup/project.mjs";
import { toolchainEnvironment } from "../setup/toolchain.mjs";

/** @typedef {{ passed: number, failed: number, skipped: number, problem?: string }} Count */

export const SUITES = {
  node: { title: "Node.js (vitest)", run: runVitest },
  cargo: { title: "native (cargo test)", run: runCargo },
  browsers: { title: "browsers", run: (options) => runEngines("browser", options) },
  engines: { title: "Deno and Bun", run: (options) => runEngines("engines", options) },
};

/** @returns {Promise<Count>} */
async function runVitest({ env }) {
  const report = join(STATE, "vitest.json");
  mkdirSync(STATE, { recursive: true });
  rmSync(report, { force: true });
  const vitest = join(ROOT, "node_modules/vitest/vitest.mjs");
  const args = [vitest, "run", "--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const code = await stream(process.execPath, args, { cwd: ROOT, env });
  if (!existsSync(report)) return noReport(code);
  return settle(countVitest(JSON.parse(readFileSync(report, "utf8"))), code);
}

/** @returns {Count} */
export function countVitest(report) {
  // A file that fails before its first test has no test to count.
  const broken = report.testResults.filter((file) => file.status === "failed" && !hasFailedTest(file)).length;
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken,
    skipped: report.numPendingTests + (report.numTodoTests ?? 0),
  };
}

function hasFailedTest(file) {
  return file.assertionResults.some((test) => test.status === "failed");
}

/** @returns {Promise<Count>} */
async function runCargo({ toolchain, env, long }) {
  const cargoEnv = { ...toolchainEnvironment(toolchain), ...env, PATH: toolchainEnvironment(toolchain).PATH };
  const lines = [];
  const cargo = (args) =>
    stream("cargo", ["test", "--locked", "-p", "saccade", ...args], {
      cwd: ROOT,
      env: cargoEnv,
      onLine: (line) => lines.push(line),
    });
  const targets = ["--no-fail-fast", "--lib", "--tests"];
  // Examples of the documentation that are not to be run are marked as ignored too, so only tests proper are unlocked.
  const codes = [await cargo(long ? [...targets, "--", "--include-ignored"] : targets), await cargo(["--doc"])];
  const count = countCargo(lines);
  const code = Math.max(...codes);
  return count ? settle(count, code) : noReport(code);
}

/** @param {string[]} lines @returns {Count | undefined} */
export function countCargo(lines) {
  const results = lines.map((line) => /^test result: .*?(\d+) passed; (\d+) failed; (\d+) ignored/.exec(line));
  return sum(results.filter(Boolean).map((found) => found.slice(1, 4).map(Number)));
}

/** @returns {Promise<Count>} */
async function runEngines(folder, { env }) {
  const lines = [];
  const runner = join(ROOT, "tests", folder, "run.mjs");
  const code = await stream(process.execPath, [runner], { cwd: ROOT, env, onLine: (line) => lines.push(line) });
  const count = countEngines(lines);
  return count ? settle(count, code) : noReport(code);
}

/** The runner's own sum, in which an engine that is absent is skipped. @param {string[]} lines @returns {Count | undefined} */
export function countEngines(lines) {
  const results = lines.map((line) => /^(?:browsers|engines): (\d+) passed, (\d+) failed, (\d+) skipped/.exec(line));
  return sum(results.filter(Boolean).map((found) => found.slice(1, 4).map(Number)));
}

function sum(rows) {
  if (rows.length === 0) return undefined;
  const [passed, failed, skipped] = [0, 1, 2].map((column) => rows.reduce((total, row) => total + row[column], 0));
  return { passed, failed, skipped };
}

/** A suite that fails without naming a test has still failed. @returns {Count} */
function settle(count, code) {
  if (code === 0 || count.failed > 0) return count;
  return { ...count, failed: 1, problem: `ended with exit code ${code} though no test failed` };
}

/** @returns {Count} */
function noReport(code) {
  return { passed: 0, failed: 1, skipped: 0, problem: `did not report (exit code ${code})` };
}
