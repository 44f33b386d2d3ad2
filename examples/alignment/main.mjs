// @ts-check
/**
 * Alignment of a translation by hand: what attention adds to an encoder and a decoder. `--help` says what it takes.
 */
import chalk from "chalk";
import Table from "cli-table3";
import { init } from "saccade";
import { heatmap } from "saccade/viz";
import { runExample, save } from "../usage.mjs";
import { align, contextOf } from "./alignment.mjs";
import { HELP, readArguments } from "./arguments.mjs";
import { FEATURES, SOURCE, TARGET } from "./sentence.mjs";

// chalk looks at the terminal, not at NO_COLOR.
const { NO_COLOR } = process.env;
if (NO_COLOR) chalk.level = 0;

async function main() {
  const args = readArguments(process.argv.slice(2), SOURCE.length);
  if (args.help) return console.log(HELP);
  await init();
  console.log('"Tom chases Jerry": the encoder has a state for each word, f2 of the textbook, here written by hand\n');
  show(
    ["word", ...FEATURES],
    1,
    SOURCE.map(({ word, state }) => [word, ...state.map(decimals)]),
  );

  const given = args.weights.map((weight, i) => ({ weight, word: SOURCE[i]?.word, state: SOURCE[i]?.state ?? [] }));
  const terms = given.map(({ weight, word }) => `${short(weight)} f2("${word}")`);
  console.log(`one context from given weights, C = g(${terms.join(", ")}), g the sum\n`);
  show(["", ...FEATURES], 1, [
    ...given.map(({ weight, state }, i) => [terms[i] ?? "", ...state.map((x) => decimals(weight * x))]),
    ["C", ...contextOf(args.weights).map(decimals)],
  ]);

  const { contexts, weights, rows } = align(args.score, args.temperature);
  // Every source word counts the same for every target word: attention that spreads its weight evenly.
  const fixed = contextOf(SOURCE.map(() => 1));
  console.log(
    "the context of each target word: without attention always the same (the mean), with attention its own\n",
  );
  show(["target", "C without attention", "C with attention", ...SOURCE.map(({ word }) => word)], 3, [
    ...TARGET.map(({ word }, i) => [word, vector(fixed), vector(contexts[i]), ...(rows[i] ?? []).map(decimals)]),
  ]);

  const picture = heatmap(weights, {
    rowLabels: TARGET.map(({ word }) => word),
    columnLabels: SOURCE.map(({ word }) => word),
    rowTitle: "target (looks)",
    columnTitle: "source (is looked at)",
    title: "Alignment: Tom chases Jerry",
    subtitle: `${args.score}, softmax at temperature ${args.temperature}`,
    range: [0, 1],
  });
  const color = /** @type {const} */ (["none", "none", "256", "truecolor"])[chalk.level];
  console.log(picture.text({ color, width: process.stdout.columns || 100 }));
  if (args.svg !== undefined) await writePicture(args.svg, picture.svg());
}

/** @param {string} path @param {string} svg */
async function writePicture(path, svg) {
  await save(path, svg);
  console.log(`the same as a picture: ${path}`);
}

/** @param {string[]} head @param {number} words how many of the first columns are words @param {string[][]} rows */
function show(head, words, rows) {
  const table = new Table({
    head,
    colAligns: head.map((_, i) => (i < words ? "left" : "right")),
    style: { head: [], border: [], compact: true },
  });
  table.push(...rows);
  console.log(`${table}\n`);
}

/** @param {readonly number[] | undefined} values */
function vector(values = []) {
  return values.map(decimals).join(" ");
}

/** @param {number} x */
function decimals(x) {
  return x.toFixed(3);
}

/** @param {number} x */
function short(x) {
  return String(Number(x.toPrecision(3)));
}

await runExample(main);
