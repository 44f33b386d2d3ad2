// @ts-check
/**
 * A dictionary that is asked by attention: every entry answers, by how well its key fits the query. `--help` says what it takes.
 */
import chalk from "chalk";
import Table from "cli-table3";
import { init } from "saccade";
import { heatmap } from "saccade/viz";
import { runExample } from "../usage.mjs";
import { HELP, readArguments } from "./arguments.mjs";
import { FuzzyDictionary, scorings } from "./dictionary.mjs";
import { listWords, Words } from "./words.mjs";

// chalk looks at the terminal, not at NO_COLOR.
const { NO_COLOR } = process.env;
if (NO_COLOR) chalk.level = 0;

async function main() {
  const { help, list, queries, entries, temperature, seed } = readArguments(process.argv.slice(2));
  if (help) return console.log(HELP);
  if (list) return console.log((await listWords()).join("\n"));
  await init();
  const words = await Words.load();
  const dictionary = new FuzzyDictionary(words, entries);
  const cosines = dictionary.cosines(queries);
  const said = [...entries].map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
  console.log(`{ ${said.join(", ")} }\n`);

  const asked = scorings(temperature, seed, entries.size).map(({ name, options }) => ({
    name,
    answers: dictionary.ask(queries, options),
  }));
  for (const [i, query] of queries.entries()) {
    console.log(`"${query}"${entries.has(query) ? "" : " is no key; the weights of those there are:"}`);
    const rows = asked.map(({ name, answers }) => {
      const { weights = [], answer = "" } = answers[i] ?? {};
      return [name, ...weights.map(decimals), answer];
    });
    show([...entries.keys()], [["(the cosine itself)", ...(cosines[i] ?? []).map(decimals), ""], ...rows]);
  }
  console.log(
    "An answer mixes the values: words as vectors, said as the nearest recorded word, and numbers as their weighted mean.",
  );
  console.log(
    `Scaled dot has no temperature: between vectors as short as these (about 1.3 long, dimension ${words.dim}) it hardly decides.\n`,
  );
  const [{ name: title, answers } = { name: "", answers: [] }] = asked;
  if (queries.length > 1) {
    const weights = { data: answers.flatMap((answer) => answer.weights), shape: [queries.length, entries.size] };
    const columnLabels = [...entries.keys()];
    const picture = heatmap(weights, { title, rowLabels: queries, columnLabels, range: [0, 1] });
    const color = /** @type {const} */ (["none", "none", "256", "truecolor"])[chalk.level];
    console.log(picture.text({ color, width: process.stdout.columns || 100 }));
  }
}

/** @param {string[]} keys @param {string[][]} rows */
function show(keys, rows) {
  const table = new Table({
    head: ["scoring", ...keys, "answer"],
    colAligns: ["left", ...keys.map(() => /** @type {const} */ ("right")), "left"],
    style: { head: [], border: [], compact: true },
  });
  table.push(...rows);
  console.log(`${table}\n`);
}

/** @param {number} x */
function decimals(x) {
  return x === 0 ? "0" : x.toFixed(3);
}

await runExample(main);
