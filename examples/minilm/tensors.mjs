// @ts-check
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { readSafetensors } from "saccade/interop";
import { UsageError } from "../usage.mjs";

/** @typedef {import("./arguments.mjs").Arguments} Arguments */
/** @typedef {import("saccade/interop").SafetensorsTensor} FileTensor */
/** @typedef {{ data: Float32Array<ArrayBuffer>, shape: readonly number[] }} Tensor */

/**
 * What the job works on.
 *
 * @typedef {object} Work
 * @property {string} title
 * @property {string[]} about lines that say what this is
 * @property {Tensor} query
 * @property {Tensor} key
 * @property {Tensor} value
 * @property {number[] | undefined} kvLengths
 * @property {number | undefined} scale
 * @property {Tensor | undefined} expected
 * @property {Tensor | undefined} expectedLse
 * @property {{ batch: number, head: number, tokens: string[] | undefined, subtitle: string }} shown
 * @property {{ row: number, column: number, what: string }[]} notable cells worth pointing at
 */

const RECORDED = new URL("../../tests/data/minilm/", import.meta.url);

/** The recorded tensors of the sentence encoder. @param {Arguments} args @returns {Promise<Work>} */
export async function recordedWork(args) {
  const about = JSON.parse(await readFile(new URL("minilm-attention.json", RECORDED), "utf8"));
  const { tensors } = readSafetensors(await readFile(new URL(about.file, RECORDED)));
  const { batch, head = about.notable[0].head } = args;
  const sentence = about.sentences[batch];
  if (sentence === undefined) throw new UsageError(`--batch ${batch}: there are ${about.sentences.length} sentences`);
  if (head >= about.heads) throw new UsageError(`--head ${head}: there are ${about.heads} heads`);
  /** @param {string} name */
  const take = (name) => asFloat32(name, pick(tensors, name, about.file));
  return {
    title: `Who attends to whom: all-MiniLM-L6-v2, layer ${about.layer}, head ${head}`,
    about: [
      `all-MiniLM-L6-v2, layer ${about.layer}: ${about.heads} heads over ${about.sentences.length} sentences`,
      ...about.sentences.map((/** @type {any} */ s) => `  ${String(s.length).padStart(3)} tokens  ${cut(s.text, 80)}`),
    ],
    query: take("query"),
    key: take("key"),
    value: take("value"),
    kvLengths: wholeNumbers("kv_lengths", pick(tensors, "kv_lengths", about.file)),
    scale: about.scale,
    expected: take("output"),
    expectedLse: take("lse"),
    shown: { batch, head, tokens: (await tokensOf(args.tokens)) ?? sentence.tokens, subtitle: cut(sentence.text, 100) },
    notable: about.notable
      .filter((/** @type {any} */ n) => n.sentence === batch && n.head === head)
      .map((/** @type {any} */ n) => ({ row: n.query, column: n.key, what: n.what })),
  };
}

/** The tensors of the caller's file. @param {Arguments} args @param {string} file @returns {Promise<Work>} */
export async function ownWork(args, file) {
  const { tensors } = readSafetensors(await readOrSay(file));
  const name = basename(file);
  /** @param {string} tensor */
  const take = (tensor) => asFloat32(tensor, pick(tensors, tensor, name));
  const query = take(args.names.query);
  const { batch, head = 0 } = args;
  const axes = axesOf(query.shape, args.layout);
  if (batch >= axes.batch) throw new UsageError(`--batch ${batch}: the query has ${axes.batch}`);
  if (head >= axes.heads) throw new UsageError(`--head ${head}: the query has ${axes.heads}`);
  return {
    title: `Who attends to whom: ${name}, head ${head}`,
    about: [`${name}: ${axes.heads} heads, batch of ${axes.batch}, layout ${args.layout}`],
    query,
    key: take(args.names.key),
    value: take(args.names.value),
    kvLengths: (args.kvLengths && wholeNumbers(args.kvLengths, pick(tensors, args.kvLengths, name))) || undefined,
    scale: undefined,
    expected: args.expected === undefined ? undefined : take(args.expected),
    expectedLse: undefined,
    shown: { batch, head, tokens: await tokensOf(args.tokens), subtitle: `${args.names.query}, batch row ${batch}` },
    notable: [],
  };
}

/**
 * The sizes behind a shape, with those that lower ranks leave out.
 *
 * @param {readonly number[]} shape
 * @param {"bshd" | "bhsd"} layout
 */
export function axesOf(shape, layout) {
  if (shape.length < 2 || shape.length > 4) {
    throw new UsageError(`a tensor has shape [${shape}], attention takes rank 2 to 4`);
  }
  const dim = /** @type {number} */ (shape.at(-1));
  if (shape.length === 2) return { batch: 1, heads: 1, seq: /** @type {number} */ (shape[0]), dim };
  const [first, second] = /** @type {[number, number]} */ (shape.slice(-3, -1));
  const batch = shape.length === 4 ? /** @type {number} */ (shape[0]) : 1;
  return layout === "bshd" ? { batch, seq: first, heads: second, dim } : { batch, heads: first, seq: second, dim };
}

/** @param {string} path */
async function readOrSay(path) {
  try {
    return await readFile(path);
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${/** @type {Error} */ (error).message}`);
  }
}

/** @param {ReadonlyMap<string, FileTensor>} tensors @param {string} name @param {string} file */
function pick(tensors, name, file) {
  const tensor = tensors.get(name);
  if (tensor !== undefined) return tensor;
  const names = [...tensors.keys()];
  const listed = names.slice(0, 12).join(", ") + (names.length > 12 ? `, and ${names.length - 12} more` : "");
  throw new UsageError(`${file} has no tensor "${name}"; it has ${listed || "none"}`);
}

/** @param {string} name @param {FileTensor} tensor @returns {Tensor} */
function asFloat32(name, { data, shape, dtype }) {
  switch (dtype) {
    case "float32":
      return { data, shape };
    case "float64":
      return { data: Float32Array.from(data), shape };
    case "bfloat16":
      return { data: new Float32Array(Uint32Array.from(data, (bits) => bits << 16).buffer), shape };
    case "float16":
      return { data: Float32Array.from(data, halfToNumber), shape };
    default:
      throw new UsageError(`tensor "${name}" is ${dtype}; attention takes floating-point tensors`);
  }
}

/** @param {number} bits of a float16 */
function halfToNumber(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15));
}

/** @param {string} name @param {FileTensor} tensor */
function wholeNumbers(name, { data }) {
  const numbers = Array.from(/** @type {ArrayLike<number | bigint>} */ (data), Number);
  if (!numbers.every(Number.isSafeInteger)) throw new UsageError(`tensor "${name}" holds more than whole numbers`);
  return numbers;
}

/** @param {string | undefined} given @returns {Promise<string[] | undefined>} */
async function tokensOf(given) {
  if (given === undefined) return undefined;
  if (!given.endsWith(".json")) return given.split(",");
  let tokens;
  try {
    tokens = JSON.parse((await readOrSay(given)).toString("utf8"));
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${given} is not JSON: ${/** @type {Error} */ (error).message}`);
  }
  if (!Array.isArray(tokens) || !tokens.every((token) => typeof token === "string")) {
    throw new UsageError(`${given} is not a list of strings`);
  }
  return tokens;
}

/** @param {string} text @param {number} length */
function cut(text, length) {
  return text.length <= length ? text : `${text.slice(0, text.lastIndexOf(" ", length - 1))} …`;
}
