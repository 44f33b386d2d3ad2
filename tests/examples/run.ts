import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Runs `examples/<name>/main.mjs` as a user would, without colours. */
export function runExample(name: string, ...args: string[]) {
  // Whatever terminal the tests run in must not show.
  const { FORCE_COLOR: _, NODE_OPTIONS: __, ...environment } = process.env;
  const options = { cwd: ROOT, encoding: "utf8", env: { ...environment, NO_COLOR: "1" }, timeout: 60_000 } as const;
  const command = [join(ROOT, "examples", name, "main.mjs"), ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, options);
  return { status, stdout, stderr };
}

/** What a user who asks for nonsense sees: one line that says so, and exit code 2. */
export function expectRefusal({ status, stderr }: { status: number | null; stderr: string }, message: RegExp): void {
  expect(stderr).toMatch(message);
  expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  expect(status).toBe(2);
}

/** `--help` ends well and names all of these. */
export function expectHelp(
  { status, stdout }: { status: number | null; stdout: string },
  names: readonly string[],
): void {
  expect(status).toBe(0);
  for (const name of names) expect(stdout).toContain(name);
}

/** The cells of every line of a table, by line. */
export function tableLines(text: string): string[][] {
  const lines = text.split("\n").filter((line) => line.startsWith("│"));
  return lines.map((line) => {
    const cells = line.split("│").slice(1, -1);
    return cells.map((cell) => cell.trim());
  });
}

/** Softmax in f64. */
export function softmaxOf(scores: readonly number[], temperature = 1): number[] {
  const largest = Math.max(...scores);
  const exponentials = scores.map((score) => Math.exp((score - largest) / temperature));
  const total = exponentials.reduce((sum, p) => sum + p, 0);
  return exponentials.map((p) => p / total);
}

/** The dot product in f64. */
export function dotOf(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
