import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { elements, parseXml, textOf } from "../viz/xml.ts";
import { dotOf, expectHelp, expectRefusal, ROOT, runExample, softmaxOf, tableLines } from "./run.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "saccade-alignment-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (...args: string[]) => runExample("alignment", ...args);

/** As in `examples/alignment/sentence.mjs`, so that a change there is seen here. */
const SOURCE = [
  [1, 0, 0.9, 0.1],
  [0, 1, 0.3, 0.3],
  [1, 0, 0.1, 0.9],
];
const TARGET = { 汤姆: [1, 0, 2, 0], 追逐: [0, 2, 0.5, 0.5], 杰瑞: [1, 0.5, 0.5, 2] };

const mixOf = (weights: readonly number[]) =>
  [0, 1, 2, 3].map((i) => weights.reduce((sum, weight, word) => sum + weight * SOURCE[word]![i]!, 0));

/** Printed numbers have three decimals. */
function expectPrinted(printed: readonly string[], exact: readonly number[]) {
  expect(printed).toHaveLength(exact.length);
  for (const [i, x] of exact.entries()) expect(Math.abs(Number(printed[i]) - x)).toBeLessThan(0.000_51);
}

const contextLine = (stdout: string) =>
  tableLines(stdout)
    .find(([name]) => name === "C")!
    .slice(1);

const SCORES: Record<string, (state: readonly number[], key: readonly number[]) => number> = {
  dot: dotOf,
  "scaled-dot": (state, key) => dotOf(state, key) / 2,
  cosine: (state, key) => dotOf(state, key) / Math.sqrt(dotOf(state, state) * dotOf(key, key)),
  gaussian: (state, key) => {
    const difference = state.map((x, i) => x - key[i]!);
    return -dotOf(difference, difference) / 2;
  },
};

describe("the alignment", () => {
  it("gives the textbook's context from the textbook's weights", () => {
    const { status, stdout, stderr } = run();
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout).toContain('C = g(0.3 f2("Tom"), 0.2 f2("chases"), 0.5 f2("Jerry")), g the sum');
    expectPrinted(contextLine(stdout), [0.8, 0.2, 0.38, 0.54]);
    expectPrinted(contextLine(stdout), mixOf([0.3, 0.2, 0.5]));
    expect(stdout).not.toContain(String.fromCharCode(27));
  });

  it("divides other weights by their sum", () => {
    const { stdout } = run("--weights", "1,0,3");
    expect(stdout).toContain('C = g(0.25 f2("Tom"), 0 f2("chases"), 0.75 f2("Jerry"))');
    expectPrinted(contextLine(stdout), mixOf([0.25, 0, 0.75]));
  });

  it.each(Object.keys(SCORES))("has weights by softmax of %s, and the contexts under them", (score) => {
    const { status, stdout } = run("--score", score, "--temperature", "0.8");
    expect(status).toBe(0);
    const fixed = new Set<string>();
    for (const [word, state] of Object.entries(TARGET)) {
      const weights = softmaxOf(
        SOURCE.map((key) => SCORES[score]!(state, key)),
        0.8,
      );
      const [, without, context, ...printed] = tableLines(stdout).find(([name]) => name === word)!;
      expectPrinted(printed, weights);
      expectPrinted(context!.split(" "), mixOf(weights));
      expectPrinted(without!.split(" "), mixOf([1 / 3, 1 / 3, 1 / 3]));
      fixed.add(without!);
      const percents = weights.map((weight) => Math.round(100 * weight));
      expect(stdout).toMatch(new RegExp(`^${word} +${percents.join(" +")}$`, "m"));
    }
    expect(fixed.size).toBe(1);
  });

  it("looks at the word that is translated", () => {
    const { stdout } = run();
    const lines = tableLines(stdout);
    const looked = Object.keys(TARGET).map((word) => {
      const weights = lines
        .find(([name]) => name === word)!
        .slice(3)
        .map(Number);
      return weights.indexOf(Math.max(...weights));
    });
    expect(looked).toEqual([0, 1, 2]);
  });

  it("is written as a picture on request", () => {
    const path = join(folder, "pictures", "alignment.svg");
    const { status, stdout } = run("--svg", path);
    expect(status).toBe(0);
    expect(stdout).toContain(`the same as a picture: ${path}`);
    const titles = elements(parseXml(readFileSync(path, "utf8")), "title").map(textOf);
    const weight = softmaxOf(SOURCE.map((key) => dotOf(TARGET.汤姆, key)))[0]!;
    expect(titles).toContain(`汤姆 → Tom: ${weight.toFixed(3)}`);
  });
});

describe("what makes no sense", () => {
  const cases: [string, string[], RegExp][] = [
    ["an unknown option", ["--weight", "1,2,3"], /^Unknown option '--weight'/],
    ["an operand", ["Tom"], /^Unexpected argument 'Tom'/],
    ["too few weights", ["--weights", "0.5,0.5"], /^--weights is 3 numbers/],
    ["weights without a number", ["--weights", "1,,2"], /^--weights is 3 numbers/],
    ["weights of nothing", ["--weights", "0,0,0"], /not all of them 0/],
    ["a negative weight", ["--weights=-1,1,1"], /^--weights is 3 numbers/],
    ["a score that is none", ["--score", "product"], /^--score is dot, scaled-dot/],
    ["a temperature of 0", ["--temperature", "0"], /^--temperature/],
    ["a picture that cannot be written", ["--svg", join(ROOT, "package.json", "x.svg")], /^cannot write/],
  ];
  it.each(cases)("%s: one line and exit code 2", (_, args, message) => {
    expectRefusal(run(...args), message);
  });

  it("--help says what there is", () => {
    expectHelp(run("--help"), ["--weights", "--score", "--temperature", "--svg", "exit code"]);
  });
});
