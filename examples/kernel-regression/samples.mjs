// @ts-check
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { UsageError } from "../usage.mjs";

/** @typedef {{ data: Float32Array<ArrayBuffer>, shape: [number] }} List */

/**
 * @typedef {object} Samples
 * @property {string} about
 * @property {List} x
 * @property {List} y
 * @property {List} queries where the attention is drawn
 * @property {((x: number) => number) | undefined} truth what the samples are a noisy picture of, where that is known
 * @property {List | undefined} prediction recorded, at the queries, for a width of 1
 */

const RECORDED = new URL("../../tests/data/classic/nadaraya_watson__w1.json", import.meta.url);

/** Fifty samples with the prediction that PyTorch made of them. @returns {Promise<Samples>} */
export async function recordedSamples() {
  const { inputs, expected } = JSON.parse(await readFile(RECORDED, "utf8"));
  /** @param {{ data: string }} tensor */
  const decode = ({ data }) => list(new Float32Array(Uint8Array.from(Buffer.from(data, "base64")).buffer));
  return {
    about: "50 samples of y = 2 sin x + x^0.8 + noise of deviation 0.5",
    x: decode(inputs.x_train),
    y: decode(inputs.y_train),
    queries: decode(inputs.x_test),
    truth: (x) => 2 * Math.sin(x) + x ** 0.8,
    prediction: decode(expected.prediction),
  };
}

/** Samples of the caller's own. @param {string} path @returns {Promise<Samples>} */
export async function ownSamples(path) {
  let text;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${/** @type {Error} */ (error).message}`);
  }
  const pairs = text
    .split(/\r?\n/)
    .map((line, index) => ({ line, index }))
    .filter(({ line }) => line.trim() !== "")
    .map(({ line, index }) => {
      const pair = line.split(/[,;\t]/).map((cell) => (cell.trim() === "" ? Number.NaN : Number(cell)));
      if (pair.length !== 2 || !pair.every((n) => Number.isFinite(Math.fround(n)))) {
        throw new UsageError(
          `${basename(path)}, line ${index + 1}: expected two numbers, x,y, not "${line.slice(0, 40)}"`,
        );
      }
      return /** @type {[number, number]} */ (pair);
    })
    .sort((a, b) => a[0] - b[0]);
  const [first, last] = [pairs[0]?.[0], pairs.at(-1)?.[0]];
  if (first === undefined || last === undefined || first === last) {
    throw new UsageError(`${basename(path)}: expected samples at two places at least`);
  }
  return {
    about: `${pairs.length} samples of ${basename(path)}`,
    x: list(pairs.map(([x]) => x)),
    y: list(pairs.map(([, y]) => y)),
    queries: evenly(first, last, 50),
    truth: undefined,
    prediction: undefined,
  };
}

/** Places from one to another, both included. @param {number} from @param {number} to @param {number} count */
export function evenly(from, to, count) {
  return list(Array.from({ length: count }, (_, i) => from + ((to - from) * i) / (count - 1)));
}

/** @param {ArrayLike<number>} numbers @returns {List} */
function list(numbers) {
  return { data: Float32Array.from(numbers), shape: [numbers.length] };
}
