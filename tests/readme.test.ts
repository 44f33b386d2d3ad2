// The README's examples are programs: each runs as written, and prints what its comments say.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const readme = readFileSync(join(root, "README.md"), "utf8");
const blocks = [...readme.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match) => match[1]!);

/** What `console.log(...); // text` promises, up to a colon that begins an explanation. */
function promised(code: string): string[] {
  return [...code.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map((match) => match[1]!.split(": ")[0]!);
}

/** Runs a program as a file inside the project, where the package's own name resolves. */
function run(code: string): string[] {
  const folder = mkdtempSync(join(root, "tests", ".readme-"));
  try {
    const file = join(folder, "example.mjs");
    writeFileSync(file, code);
    const printed = execFileSync(process.execPath, [file], { encoding: "utf8", timeout: 60_000 });
    return printed.trimEnd().split("\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Node prints arrays with spaces inside the brackets. */
const tidy = (line: string) => line.replaceAll("[ ", "[").replaceAll(" ]", "]");

describe("README", () => {
  it("has examples", () => {
    expect(blocks.length).toBeGreaterThanOrEqual(2);
  });

  it.each(blocks.map((code, i) => [i + 1, code] as const))("example %i prints what it says", (_, code) => {
    expect(promised(code).length).toBeGreaterThan(0);
    expect(run(code).map(tidy)).toEqual(promised(code));
  });
});
