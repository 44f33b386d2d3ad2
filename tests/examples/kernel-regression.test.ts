import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { elements, parseXml, textOf } from "../viz/xml.ts";
import { expectHelp, expectRefusal } from "./run.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "saccade-regression-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(...args: string[]) {
  // Whatever terminal the tests run in must not show.
  const { FORCE_COLOR: _, NODE_OPTIONS: __, ...environment } = process.env;
  const svg = args.includes("--svg") ? [] : ["--svg", join(folder, "picture.svg")];
  const command = [join(ROOT, "examples/kernel-regression/main.mjs"), ...args, ...svg];
  const options = { cwd: ROOT, encoding: "utf8", env: { ...environment, NO_COLOR: "1" }, timeout: 60_000 } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, command, options);
  return { status, stdout, stderr };
}

const picture = () => parseXml(readFileSync(join(folder, "picture.svg"), "utf8"));

function write(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

describe("the recorded samples", () => {
  it("agree with the recorded prediction, learn the recorded width and give the picture", () => {
    const { status, stdout, stderr } = run("--epochs", "5", "--rate", "0.01");
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout).toMatch(/difference from PyTorch's prediction \d\.\de-\d\d? {2}ok/);
    // 1 / 1.7692493755675331 after five steps, from a loss of 31.111884549662108.
    expect(stdout).toMatch(/ 0 +1\.0000 +31\.112\n/);
    expect(stdout).toMatch(/ 1 +0\.6997 +19\.804\n/);
    expect(stdout).toMatch(/ 5 +0\.5652 +17\.026\n/);
    expect(stdout).toContain("loss 31.112 before, 17.026 after");
    const svg = picture();
    // 50 samples and the sign of the legend.
    expect(elements(svg, "circle")).toHaveLength(51);
    const titles = elements(svg, "title").map(textOf);
    expect(titles.filter((title) => title.includes(" → ")).length).toBeGreaterThan(1000);
    const texts = elements(svg, "text").map(textOf);
    expect(texts).toContain("given width, 1.000");
    expect(texts).toContain("learned width, 0.565");
    expect(texts).toContain("truth");
  });

  it("come nearer to the truth with the learned width", () => {
    const { stdout } = run();
    const [given, learned] = [...stdout.matchAll(/distance from the truth ([\d.]+)/g)].map(([, number]) =>
      Number(number),
    );
    expect(learned).toBeLessThan(0.6 * given!);
  });
});

describe("the caller's own samples", () => {
  it("are fitted and drawn", () => {
    const lines = Array.from({ length: 30 }, (_, i) => `${i / 3},${Math.cos(i / 3)}`);
    const { status, stdout, stderr } = run(
      "--file",
      write("own.csv", `${lines.reverse().join("\r\n")}\n`),
      "--width",
      "2",
    );
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout).toContain("30 samples of own.csv");
    expect(stdout).not.toContain("PyTorch");
    expect(elements(picture(), "circle")).toHaveLength(31);
    expect(readFileSync(join(folder, "picture.svg"), "utf8")).not.toContain("NaN");
  });
});

describe("what makes no sense", () => {
  const cases: [string, () => string[], RegExp][] = [
    ["an unknown option", () => ["--widht", "1"], /^Unknown option '--widht'/],
    ["a file that is not there", () => ["--file", join(folder, "none")], /^cannot read .*none: ENOENT/],
    [
      "a line that is no sample",
      () => ["--file", write("a.csv", "1,2\nx,y\n")],
      /^a\.csv, line 2: expected two numbers/,
    ],
    ["too few samples", () => ["--file", write("b.csv", "1,2\n1,3\n")], /^b\.csv: expected samples at two places/],
    ["a width that is no number", () => ["--width", "wide"], /^--width is a number, not "wide"/],
    ["a width that is none", () => ["--width", "0"], /^fitWidth: options\.initialWidth is 0/],
    ["half an epoch", () => ["--epochs", "0.5"], /^fitWidth: options\.epochs is 0\.5/],
    ["a picture that cannot be written", () => ["--svg", join(ROOT, "package.json", "x.svg")], /^cannot write/],
  ];
  it.each(cases)("%s: one line and exit code 2", (_, args, message) => {
    expectRefusal(run(...args()), message);
  });

  it("--help says what there is", () => {
    expectHelp(run("--help"), ["--file", "--width", "--rate", "--epochs", "--svg", "exit code"]);
  });
});
