// @ts-check
/**
 * Self-attention does not see order: permuted words give permuted results, unless each word says where it stands. `--help` says what
 * it takes.
 */
import Table from "cli-table3";
import { attention, init, sinusoidalPositions } from "saccade";
import { parseCall, runExample, UsageError } from "../usage.mjs";

const HELP = `usage: node examples/self-attention-positions/main.mjs [--order LIST]

Self-attention over "Tom chases Jerry" and over the same words in another order, without positions and with sinusoidal ones
added: two tables of each word's result in both orders.

  --order LIST   the other order, by the words' places in the first (2,1,0: "Jerry chases Tom")
  --help         this text

exit code: 0 done, 2 the options do not make sense`;

const WORDS = ["Tom", "chases", "Jerry"];
const DIM = 4;
/** Vectors written by hand, one for each word. */
const VECTORS = [
  [1, 0, 0.5, -0.5],
  [0, 1, -0.5, 0.5],
  [0.5, -0.5, 1, 0],
];

/** @param {string[]} args */
function readArguments(args) {
  const options = /** @type {const} */ ({
    order: { type: "string", default: "2,1,0" },
    help: { type: "boolean", short: "h", default: false },
  });
  const { values } = parseCall({ args, options, strict: true, allowPositionals: false });
  const order = values.order.split(",").map((text) => (/^\d$/.test(text) ? Number(text) : -1));
  if (order.length !== WORDS.length || !WORDS.every((_, place) => order.includes(place))) {
    throw new UsageError(`--order is 0, 1 and 2 in any order, with commas, not "${values.order}"`);
  }
  return { help: values.help, order };
}

/**
 * Self-attention over the words in an order; the results by word, whatever the order.
 *
 * @param {readonly number[]} order @param {Float32Array} [positions] added, place by place
 */
function resultsByWord(order, positions) {
  const vectors = Float32Array.from(order.flatMap((word) => VECTORS[word] ?? []));
  const data = vectors.map((x, i) => x + (positions?.[i] ?? 0));
  const x = { data, shape: [WORDS.length, DIM] };
  const { out } = attention(x, x, x);
  return WORDS.map((_, word) => {
    const place = order.indexOf(word);
    return Array.from(out.data.subarray(place * DIM, (place + 1) * DIM));
  });
}

/** @param {string} title @param {readonly number[]} order @param {Float32Array} [positions] */
function compare(title, order, positions) {
  const first = resultsByWord([0, 1, 2], positions);
  const second = resultsByWord(order, positions);
  const said = order.map((word) => WORDS[word]).join(" ");
  const table = new Table({
    head: ["word", `in "${WORDS.join(" ")}"`, `in "${said}"`],
    style: { head: [], border: [], compact: true },
  });
  /** @param {readonly number[] | undefined} row */
  const decimals = (row = []) => row.map((x) => x.toFixed(3).padStart(6)).join(" ");
  for (const [word, name] of WORDS.entries()) table.push([name, decimals(first[word]), decimals(second[word])]);
  const apart = first.flatMap((row, word) => row.map((x, i) => Math.abs(x - (second[word]?.[i] ?? Number.NaN))));
  const largest = Math.max(...apart);
  // The keys are summed in their order, so the last bits may differ.
  const verdict = largest < 1e-6 ? "the same results, permuted" : "other results";
  console.log(`${title}: ${verdict} (largest difference ${largest.toPrecision(2)})\n${table}\n`);
}

async function main() {
  const { help, order } = readArguments(process.argv.slice(2));
  if (help) {
    console.log(HELP);
  } else {
    await init();
    compare("without positions", order);
    compare("with sinusoidal positions", order, sinusoidalPositions(WORDS.length, DIM).data);
  }
}

await runExample(main);
