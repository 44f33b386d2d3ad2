// @ts-check
import { parseCall, UsageError } from "../usage.mjs";

export const HELP = `usage: npm start [-- options]

Runs attention over the query, key and value tensors of a safetensors file, compares the result with float64, shows who
attends to whom and how fast it was. Without options: the last layer of a sentence encoder, four sentences.

your own tensors:
  --file F.safetensors   where they are; rank 4, 3 (without batch) or 2 (without heads)
  --query NAME           their names in the file (query, key, value)
  --key NAME
  --value NAME
  --kv-lengths NAME      valid keys of each batch row: a tensor of the file with that many whole numbers
  --expected NAME        the result to compare with; without it one is computed in float64 if the tensors are small
  --layout LAYOUT        bshd (default for your own: batch, sequence, heads, dim) or bhsd (heads before sequence)
  --causal               a query sees no key after it (the last query is aligned with the last key)

what is shown:
  --batch N              which batch row (0)
  --head N               which head (11 for the recorded tensors, else 0)
  --tokens LIST          labels: a,b,c or a .json file with a list of strings
  --svg PATH             where the picture goes (out/minilm-heatmap.svg)
  --help                 this text

exit code: 0 all is well, 1 the result is off by more than float32 explains, 2 the options or the file do not make sense`;

const OPTIONS = /** @type {const} */ ({
  file: { type: "string" },
  query: { type: "string", default: "query" },
  key: { type: "string", default: "key" },
  value: { type: "string", default: "value" },
  "kv-lengths": { type: "string" },
  expected: { type: "string" },
  layout: { type: "string" },
  causal: { type: "boolean", default: false },
  batch: { type: "string", default: "0" },
  head: { type: "string" },
  tokens: { type: "string" },
  svg: { type: "string", default: "out/minilm-heatmap.svg" },
  help: { type: "boolean", short: "h", default: false },
});

/**
 * @typedef {object} Arguments
 * @property {boolean} help
 * @property {string | undefined} file undefined: the recorded tensors
 * @property {{ query: string, key: string, value: string }} names
 * @property {string | undefined} kvLengths
 * @property {string | undefined} expected
 * @property {"bshd" | "bhsd"} layout
 * @property {boolean} causal
 * @property {number} batch
 * @property {number | undefined} head
 * @property {string | undefined} tokens
 * @property {string} svg
 */

/** @param {string[]} words @returns {Arguments} */
export function readArguments(words) {
  const { values } = parseCall({ args: words, options: OPTIONS, strict: true, allowPositionals: false });
  const { file, layout = file === undefined ? "bhsd" : "bshd" } = values;
  if (layout !== "bshd" && layout !== "bhsd") throw new UsageError(`--layout is bshd or bhsd, not "${layout}"`);
  const described = ["query", "key", "value"].some((name) => values[/** @type {"query"} */ (name)] !== name);
  if (file === undefined && (described || values["kv-lengths"] || values.expected || values.layout || values.causal)) {
    throw new UsageError("names, layout and --causal describe your own tensors: --file is missing");
  }
  return {
    help: values.help,
    file,
    names: { query: values.query, key: values.key, value: values.value },
    kvLengths: values["kv-lengths"],
    expected: values.expected,
    layout,
    causal: values.causal,
    batch: /** @type {number} */ (wholeNumber("batch", values.batch)),
    head: wholeNumber("head", values.head),
    tokens: values.tokens,
    svg: values.svg,
  };
}

/** @param {string} name @param {string | undefined} text */
function wholeNumber(name, text) {
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`--${name} is a whole number, not "${text}"`);
  return Number(text);
}
