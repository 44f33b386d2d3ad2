import { describe, expect, it } from "vitest";
import { dotOf, expectHelp, expectRefusal, runExample, softmaxOf, tableLines } from "./run.ts";

const run = (...args: string[]) => runExample("self-attention-positions", ...args);

/** As in the example, so that a change there is seen here. */
const VECTORS = [
  [1, 0, 0.5, -0.5],
  [0, 1, -0.5, 0.5],
  [0.5, -0.5, 1, 0],
];

/** sin and cos of the place, slower by 100 in the second pair (10000^(2 / 4)). */
const position = (place: number) => [Math.sin(place), Math.cos(place), Math.sin(place / 100), Math.cos(place / 100)];

/** The result of a word among the words in an order, in f64. */
function resultOf(word: number, order: readonly number[], positions: boolean): number[] {
  const rows = order.map((w, place) => VECTORS[w]!.map((x, i) => x + (positions ? position(place)[i]! : 0)));
  const query = rows[order.indexOf(word)]!;
  const weights = softmaxOf(rows.map((row) => dotOf(query, row) / 2));
  return query.map((_, i) => weights.reduce((sum, weight, j) => sum + weight * rows[j]![i]!, 0));
}

/** Printed numbers have three decimals. */
function expectPrinted(printed: string, exact: readonly number[]) {
  const numbers = printed.split(/ +/).map(Number);
  expect(numbers).toHaveLength(exact.length);
  for (const [i, x] of exact.entries()) expect(Math.abs(numbers[i]! - x)).toBeLessThan(0.000_51);
}

describe("self-attention over permuted words", () => {
  it.each([
    [[2, 1, 0], "Jerry chases Tom"],
    [[1, 2, 0], "chases Jerry Tom"],
  ] as const)("in the order %j gives permuted results, but not with positions", (order, said) => {
    const { status, stdout, stderr } = run("--order", order.join(","));
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const [without, withPositions] = stdout.split("with sinusoidal positions") as [string, string];
    expect(without).toMatch(/^without positions: the same results, permuted/);
    expect(withPositions).toMatch(/^: other results \(largest difference [\d.]+\)/);
    for (const [text, positions] of [
      [without, false],
      [withPositions, true],
    ] as const) {
      const [head, ...lines] = tableLines(text);
      expect(head).toEqual(["word", 'in "Tom chases Jerry"', `in "${said}"`]);
      expect(lines.map(([name]) => name)).toEqual(["Tom", "chases", "Jerry"]);
      for (const [word, [, first, second]] of lines.entries()) {
        expectPrinted(first!, resultOf(word, [0, 1, 2], positions));
        expectPrinted(second!, resultOf(word, order, positions));
        expect(first === second).toBe(!positions);
      }
    }
  });

  it("in the same order gives the same bits with positions too", () => {
    const { stdout } = run("--order", "0,1,2");
    expect(stdout.match(/the same results, permuted \(largest difference 0\.0\)/g)).toHaveLength(2);
  });
});

describe("what makes no sense", () => {
  const cases: [string, string[], RegExp][] = [
    ["an unknown option", ["--ordre", "0,1,2"], /^Unknown option '--ordre'/],
    ["a word twice", ["--order", "0,1,1"], /^--order is 0, 1 and 2/],
    ["a word too few", ["--order", "0,1"], /^--order/],
    ["a place that is none", ["--order", "0,1,x"], /^--order/],
  ];
  it.each(cases)("%s: one line and exit code 2", (_, args, message) => {
    expectRefusal(run(...args), message);
  });

  it("--help says what there is", () => {
    expectHelp(run("--help"), ["--order", "exit code"]);
  });
});
