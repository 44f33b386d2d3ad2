// @ts-check
/** Generation with a KvCache and without: the same bits, and how fast either is. `--help` says what it takes. */
import { init } from "saccade";
import { runExample } from "../usage.mjs";
import { HELP, readArguments } from "./arguments.mjs";
import { CHARACTERS, Decoder } from "./model.mjs";

/**
 * @typedef {object} Written
 * @property {number[]} tokens
 * @property {Float32Array[]} logits of each step
 * @property {number} seconds
 */

/** The likeliest token, with a little noise that depends on the step alone. @param {Float32Array} logits @param {number} step */
function choose(logits, step) {
  let seed = step + 1;
  const noisy = logits.map((x) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return x + seed / 2 ** 31;
  });
  return noisy.indexOf(Math.max(...noisy));
}

/**
 * Writes `count` tokens.
 *
 * @param {number[]} prompt
 * @param {number} count
 * @param {(tokens: readonly number[], fresh: number) => Float32Array} logitsOf logits of all tokens, of which the last are new
 * @returns {Written}
 */
function write(prompt, count, logitsOf) {
  const tokens = [...prompt];
  /** @type {Float32Array[]} */
  const logits = [];
  const start = performance.now();
  let fresh = tokens.length;
  for (let i = 0; i < count; i++) {
    const row = logitsOf(tokens, fresh);
    logits.push(row);
    tokens.push(choose(row, i));
    fresh = 1;
  }
  return { tokens, logits, seconds: (performance.now() - start) / 1000 };
}

async function main() {
  const { help, tokens: count, layers, prompt } = readArguments(process.argv.slice(2));
  if (help) {
    console.log(HELP);
    return 0;
  }
  await init();
  const decoder = new Decoder(layers);
  const start = [...prompt].map((character) => CHARACTERS.indexOf(character));
  console.log(`decoder: ${decoder.words}; its weights are random, nothing is learned`);

  /** @param {number} count */
  const cached = (count) => {
    const caches = decoder.newCaches(start.length + count);
    try {
      return write(start, count, (tokens, fresh) => decoder.logits(tokens.slice(-fresh), caches));
    } finally {
      for (const cache of caches) cache.dispose();
    }
  };
  // Until the engine has compiled what runs.
  cached(20);
  const withCache = cached(count);
  const without = write(start, count, (tokens) => decoder.logits(tokens));

  console.log(
    `${prompt}|${withCache.tokens
      .slice(start.length)
      .map((token) => CHARACTERS[token])
      .join("")}\n`,
  );
  const rate = (/** @type {Written} */ { seconds }) =>
    `${Math.round(count / seconds)
      .toLocaleString("en-GB")
      .padStart(8)} tokens/s`;
  console.log(`with the cache:    ${rate(withCache)}`);
  console.log(
    `without:           ${rate(without)} (${(without.seconds / withCache.seconds).toFixed(1)} times as long)`,
  );
  const differing = withCache.logits.filter(
    (row, step) => !sameBits(row, /** @type {Float32Array} */ (without.logits[step])),
  );
  const numbers = (count * CHARACTERS.length).toLocaleString("en-GB");
  if (differing.length === 0) console.log(`${count} tokens, ${numbers} logits: the same bits both ways`);
  else console.log(`DIFFERENT: the logits of ${differing.length} of ${count} tokens`);
  return differing.length === 0 ? 0 : 1;
}

/** @param {Float32Array} a @param {Float32Array} b */
function sameBits(a, b) {
  const [x, y] = [a, b].map((each) => new Uint32Array(each.slice().buffer));
  return x?.length === y?.length && x?.every((bits, i) => bits === y?.[i]);
}

await runExample(main);
