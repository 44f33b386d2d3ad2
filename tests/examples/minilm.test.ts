import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { attention } from "saccade";
import { readSafetensors, writeSafetensors } from "saccade/interop";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { errorBound, largestMargin } from "../reference/bound.mjs";
import { elements, parseXml, textOf } from "../viz/xml.ts";
import { expectHelp, expectRefusal } from "./run.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const DATA = new URL("../data/minilm/", import.meta.url);

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "saccade-minilm-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(...args: string[]) {
  // Whatever terminal the tests run in must not show.
  const { FORCE_COLOR: _, NODE_OPTIONS: __, ...environment } = process.env;
  const svg = args.includes("--svg") || args.includes("--help") ? [] : ["--svg", join(folder, "picture.svg")];
  const command = [join(ROOT, "examples/minilm/main.mjs"), ...args, ...svg];
  const options = { cwd: ROOT, encoding: "utf8", env: { ...environment, NO_COLOR: "1" }, timeout: 60_000 } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, command, options);
  return { status, stdout, stderr };
}

/** A file of small tensors, `[batch, sequence, heads, dim]`. */
function writeTensors(name: string, change: Parameters<typeof writeSafetensors>[0] = {}): string {
  const tensor = (shape: number[], seed: number) => ({
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(seed + i * i)),
    shape,
  });
  const tensors = { query: tensor([2, 5, 4, 8], 1), key: tensor([2, 7, 2, 8], 2), value: tensor([2, 7, 2, 3], 3) };
  const path = join(folder, name);
  writeFileSync(path, writeSafetensors({ ...tensors, ...change }));
  return path;
}

describe("the recorded tensors", () => {
  it("agree with the recorded float64 result and give the picture", () => {
    const { status, stdout, stderr } = run();
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout).toMatch(/out: +184,320 values, largest error 0\.[01]\d\d of its bound {2}ok/);
    expect(stdout).toMatch(/lse: +5,760 values, largest error 0\.[01]\d\d of its bound {2}ok/);
    expect(stdout).toContain('"it" looks at "cat" with 0.659');
    expect(stdout).toMatch(/ {5}it .*>66/);
    expect(stdout).toMatch(/time: [\d.]+ ms a call/);
    expect(stdout).toMatch(/[\d.]+ GFLOP\/s = 0\.\d\d of this machine's SIMD peak/);
    expect(stdout).not.toContain(String.fromCharCode(27));
    const svg = parseXml(readFileSync(join(folder, "picture.svg"), "utf8"));
    expect(elements(svg, "title").map(textOf)).toContain("it → cat: 0.659");
  });

  it("have the recorded weights", () => {
    const { tensors } = readSafetensors(readFileSync(new URL("minilm-attention.safetensors", DATA)));
    const recorded = readSafetensors(readFileSync(new URL("minilm-attention-weights.safetensors", DATA))).tensors;
    const take = (name: string) => tensors.get(name) as { data: Float32Array<ArrayBuffer>; shape: readonly number[] };
    const [heads, padded, dim] = [12, 120, 32];
    for (const [sentence, length] of [13, 22, 37, 120].entries()) {
      const [query, key, value] = (["query", "key", "value"] as const).map((name) => {
        // Without padding: one sentence as a view, its rows copied together.
        const data = new Float32Array(heads * length * dim);
        for (let h = 0; h < heads; h++) {
          const from = (sentence * heads + h) * padded * dim;
          data.set(take(name).data.subarray(from, from + length * dim), h * length * dim);
        }
        return { data, shape: [heads, length, dim] };
      }) as [{ data: Float32Array<ArrayBuffer>; shape: number[] }, never, never];
      const { weights } = attention(query, key, value, { layout: "bhsd", returnWeights: true });
      const shape = {
        batch: 1,
        numHeads: heads,
        numKvHeads: heads,
        qLen: length,
        kvLen: length,
        headDim: dim,
        valueHeadDim: dim,
      };
      const inputs = { query: query.data, key: (key as typeof query).data, value: (value as typeof query).data };
      const expected = recorded.get(`weights.${sentence}`)?.data as Float32Array;
      expect(weights.shape).toEqual([heads, length, length]);
      expect(largestMargin(weights.data, expected, errorBound(inputs, shape).weights)).toBeLessThan(0.2);
    }
  });
});

describe("the caller's own file", () => {
  it("is run, checked against float64 and drawn with its labels", () => {
    const lengths = { data: BigInt64Array.of(6n, 3n), shape: [2] };
    const path = writeTensors("own.safetensors", { lengths });
    const args = ["--file", path, "--kv-lengths", "lengths", "--head", "3", "--causal", "--tokens", "a,b,c,d,e,注"];
    const { status, stdout, stderr } = run(...args);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout).toMatch(/out: +120 values, largest error 0\.[01]\d\d of its bound {2}ok/);
    expect(stdout).toContain("float64 result computed here");
    expect(stdout).toMatch(/ {2}a b c d e 注|a {2}b {2}c {2}d {2}e {1,2}注/);
  });

  it("gives exit code 1 where the expected result is another one", () => {
    const expected = { data: new Float32Array(2 * 5 * 4 * 3), shape: [2, 5, 4, 3] };
    const { status, stdout } = run("--file", writeTensors("wrong.safetensors", { expected }), "--expected", "expected");
    expect(stdout).toContain("TOO LARGE");
    expect(status).toBe(1);
  });
});

describe("what makes no sense", () => {
  const one = { data: new Float32Array(1), shape: [1] };
  const cases: [string, () => string[], RegExp][] = [
    ["an unknown option", () => ["--fil", "x"], /^Unknown option '--fil'/],
    ["a file that is not there", () => ["--file", join(folder, "none")], /^cannot read .*none: ENOENT/],
    ["a folder", () => ["--file", folder], /^cannot read/],
    ["a file of another kind", () => ["--file", join(ROOT, "package.json")], /^readSafetensors: the header/],
    ["a tensor that is not in it", () => ["--file", writeTensors("a"), "--key", "k"], /no tensor "k"; it has .*key/],
    ["shapes that disagree", () => ["--file", writeTensors("b"), "--layout", "bhsd"], /^attention: /],
    ["a tensor of rank 1", () => ["--file", writeTensors("c", { query: one })], /rank 2 to 4/],
    ["a layout that is none", () => ["--file", writeTensors("d"), "--layout", "sbhd"], /bshd or bhsd/],
    ["names without a file", () => ["--query", "q"], /--file is missing/],
    ["a head too many", () => ["--head", "12"], /there are 12 heads/],
    ["a head that is no number", () => ["--head", "-1"], /--head/],
    ["too few labels", () => ["--tokens", "a,b"], /2 labels for 13/],
    ["labels that are not there", () => ["--tokens", join(folder, "t.json")], /^cannot read/],
    ["an expected result of another shape", () => ["--file", writeTensors("e"), "--expected", "key"], /^the expected/],
    ["a picture that cannot be written", () => ["--svg", join(ROOT, "package.json", "x.svg")], /^cannot write/],
  ];
  it.each(cases)("%s: one line and exit code 2", (_, args, message) => {
    expectRefusal(run(...args()), message);
  });

  it("--help says what there is", () => {
    expectHelp(run("--help"), ["--file", "--kv-lengths", "--causal", "--tokens", "--svg", "exit code"]);
  });
});
