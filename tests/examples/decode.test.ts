import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { expectHelp, expectRefusal } from "./run.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

function run(...args: string[]) {
  const { NODE_OPTIONS: _, ...environment } = process.env;
  const options = { cwd: ROOT, encoding: "utf8", env: environment, timeout: 60_000 } as const;
  return spawnSync(process.execPath, ["examples/decode/main.mjs", ...args], options);
}

describe("generation", () => {
  it("gives the same bits with the cache and without, and says how fast both are", () => {
    const { status, stdout, stderr } = run("--tokens", "70");
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^decoder: 2 layers.*random, nothing is learned$/m);
    expect(stdout).toMatch(/^the cache keeps what was \|.{70}$/m);
    expect(stdout).toMatch(/^with the cache: +[\d,]+ tokens\/s$/m);
    expect(stdout).toMatch(/^without: +[\d,]+ tokens\/s \(\d+\.\d times as long\)$/m);
    expect(stdout).toMatch(/^70 tokens, 2,660 logits: the same bits both ways$/m);
  });

  it("goes on from what it is given", () => {
    const { status, stdout } = run("--tokens", "3", "--prompt", "a", "--layers", "1");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^decoder: 1 layers/m);
    expect(stdout).toMatch(/^a\|.{3}$/m);
  });
});

describe("what makes no sense", () => {
  it.each([
    ["an unknown option", ["--token", "3"], /^Unknown option '--token'/],
    ["no tokens", ["--tokens", "0"], /--tokens is a whole number from 1 to 4000, not "0"/],
    ["half a layer", ["--layers", "0.5"], /--layers/],
    ["no prompt", ["--prompt", ""], /--prompt is empty/],
    ["another alphabet", ["--prompt", "注"], /--prompt has "注"/],
  ] as const)("%s: one line and exit code 2", (_, args, message) => {
    expectRefusal(run(...args), message);
  });

  it("--help says what there is", () => {
    expectHelp(run("--help"), ["--tokens", "--prompt", "--layers", "exit code"]);
  });
});
