// @ts-check
import { parseCall, UsageError } from "../usage.mjs";
import { CHARACTERS } from "./model.mjs";

export const HELP = `usage: node examples/decode/main.mjs [options]

Lets a small decoder write, token by token: once with a KvCache, so that each token is computed from itself alone, once by
running all tokens anew for each. Both must give the same bits. The decoder's weights are random, so what it writes is noise.

  --tokens N      how many tokens it writes (200)
  --prompt TEXT   what it goes on from ("the cache keeps what was ")
  --layers N      how many layers it has (2)
  --help          this text

exit code: 0 all is well, 1 the two ways differ, 2 the options do not make sense`;

const OPTIONS = /** @type {const} */ ({
  tokens: { type: "string", default: "200" },
  prompt: { type: "string", default: "the cache keeps what was " },
  layers: { type: "string", default: "2" },
  help: { type: "boolean", short: "h", default: false },
});

/** @param {string[]} words @returns {{ help: boolean, tokens: number, layers: number, prompt: string }} */
export function readArguments(words) {
  const { values } = parseCall({ args: words, options: OPTIONS, strict: true, allowPositionals: false });
  const { help, prompt } = values;
  const unknown = [...prompt].find((character) => !CHARACTERS.includes(character));
  if (prompt === "") throw new UsageError("--prompt is empty; there must be a token to go on from");
  if (unknown !== undefined) {
    throw new UsageError(`--prompt has ${JSON.stringify(unknown)}; the decoder knows ${JSON.stringify(CHARACTERS)}`);
  }
  return {
    help,
    prompt,
    tokens: wholeNumber("tokens", values.tokens, 4000),
    layers: wholeNumber("layers", values.layers, 16),
  };
}

/** @param {string} name @param {string} text @param {number} most */
function wholeNumber(name, text, most) {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (number < 1 || number > most) throw new UsageError(`--${name} is a whole number from 1 to ${most}, not "${text}"`);
  return number;
}
