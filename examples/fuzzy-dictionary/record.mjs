// @ts-check
/**
 * Takes the vectors of the words in `data/words.json` out of a sentence encoder's token embeddings. Run once by whoever changes the words;
 * the example itself only reads what was recorded.
 */
import { readFile, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { readSafetensors, writeSafetensors } from "saccade/interop";

const HELP = `usage: node examples/fuzzy-dictionary/record.mjs --model F.safetensors --vocab vocab.txt

Writes data/word-embeddings.safetensors: the rows of the model's embeddings.word_embeddings.weight (f16) for the words of
data/words.json, bit for bit. Every word must be one token, that is a line of vocab.txt.`;

const DATA = new URL("data/", import.meta.url);

const { values } = parseArgs({
  options: { model: { type: "string" }, vocab: { type: "string" }, help: { type: "boolean", short: "h" } },
});
if (values.help || values.model === undefined || values.vocab === undefined) {
  console.log(HELP);
  process.exit(values.help ? 0 : 2);
}

/** @type {Record<string, string>} */
const subjects = JSON.parse(await readFile(new URL("words.json", DATA), "utf8"));
const words = Object.values(subjects).flatMap((line) => line.split(" "));
const vocabulary = (await readFile(values.vocab, "utf8")).split("\n");
const ids = Int32Array.from(words, (word) => {
  const id = vocabulary.indexOf(word);
  if (id < 0) throw new Error(`"${word}" is not a token`);
  return id;
});

const embeddings = readSafetensors(await readFile(values.model)).tensors.get("embeddings.word_embeddings.weight");
if (embeddings?.dtype !== "float16") throw new Error("the model has no embeddings.word_embeddings.weight in float16");
const dim = /** @type {number} */ (embeddings.shape[1]);
const rows = new Uint16Array(words.length * dim);
for (const [row, id] of ids.entries()) rows.set(embeddings.data.subarray(id * dim, (id + 1) * dim), row * dim);

const file = writeSafetensors(
  {
    word_embeddings: { data: rows, shape: [words.length, dim], dtype: "float16" },
    token_ids: { data: ids, shape: [words.length] },
  },
  {
    license: "Apache-2.0",
    source: "token embeddings of sentence-transformers/all-MiniLM-L6-v2, rounded to f16, taken for these words",
    words: words.join(" "),
  },
);
await writeFile(new URL("word-embeddings.safetensors", DATA), file);
console.log(`${words.length} words of ${dim} values, ${file.byteLength} bytes`);
