// @ts-check
import { parseCall, UsageError } from "../usage.mjs";

export const HELP = `usage: node examples/fuzzy-dictionary/main.mjs [WORD …] [options]

Looks words up in a dictionary by attention: { color: "blue", age: 22, type: "pickup" } asked for "species", which it does not have,
answers by the keys' weights. Words are the token embeddings of a sentence encoder (600 of them are recorded here).

  WORD …             what is asked (species); two or more are drawn as a heatmap too
  --entry KEY=VALUE  the dictionary instead, once for each entry; a key is a word, a value a word or a number
  --temperature T    of the softmax: smaller is sharper (0.05)
  --seed N           of the key that is drawn by its weight (1)
  --words            lists the words
  --help             this text

exit code: 0 answered, 2 the options do not make sense`;

const OPTIONS = /** @type {const} */ ({
  entry: { type: "string", multiple: true },
  temperature: { type: "string", default: "0.05" },
  seed: { type: "string", default: "1" },
  words: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
});

const ENTRIES = ["color=blue", "age=22", "type=pickup"];

/**
 * @typedef {object} Arguments
 * @property {boolean} help
 * @property {boolean} list
 * @property {string[]} queries
 * @property {Map<string, string | number>} entries
 * @property {number} temperature
 * @property {number} seed
 */

/** @param {string[]} args @returns {Arguments} */
export function readArguments(args) {
  const parsed = parseCall({ args, options: OPTIONS, strict: true, allowPositionals: true });
  const { values, positionals } = parsed;
  const temperature = Number(values.temperature);
  // Beyond these, one over the temperature leaves the range of float32's useful exponents.
  if (!(temperature >= 1e-6 && temperature <= 1e6)) {
    throw new UsageError(`--temperature is a number from 1e-6 to 1e6, not "${values.temperature}"`);
  }
  if (!/^\d{1,15}$/.test(values.seed)) throw new UsageError(`--seed is a whole number, not "${values.seed}"`);
  return {
    help: values.help,
    list: values.words,
    queries: positionals.length > 0 ? positionals : ["species"],
    entries: readEntries(values.entry ?? ENTRIES),
    temperature,
    seed: Number(values.seed),
  };
}

/** @param {readonly string[]} texts */
function readEntries(texts) {
  const entries = new Map();
  for (const text of texts) {
    const [, key, value] = /^([^=]+)=(.+)$/.exec(text) ?? [];
    if (key === undefined || value === undefined) throw new UsageError(`--entry is KEY=VALUE, not "${text}"`);
    if (entries.has(key)) throw new UsageError(`--entry ${key} is given twice`);
    entries.set(key, readValue(key, value));
  }
  return entries;
}

/** @param {string} key @param {string} value */
function readValue(key, value) {
  if (!/^[-+.]?\d/.test(value)) return value;
  const number = Number(value);
  if (!Number.isFinite(Math.fround(number))) throw new UsageError(`--entry ${key}: "${value}" is no number of float32`);
  return number;
}
