// @ts-check
import { parseCall, UsageError } from "../usage.mjs";

export const HELP = `usage: node examples/kernel-regression/main.mjs [options]

Fits a curve through noisy samples by Nadaraya-Watson kernel regression, which is attention: a query looks at the samples near
it. Once with the width given, once with the width that predicts every sample best from all the others, and draws both curves
and who looked at whom. Without options: fifty recorded samples of y = 2 sin x + x^0.8 + noise, checked against PyTorch.

  --file F.csv         your own samples: a line for each, two numbers, x,y
  --width W            the width of the Gaussian before learning (1)
  --rate R             learning rate (half over the number of samples)
  --epochs N           steps of the descent (100)
  --svg PATH           where the picture goes (out/kernel-regression.svg)
  --help               this text

exit code: 0 all is well, 1 the result is off by more than float32 explains, 2 the options or the file do not make sense`;

const OPTIONS = /** @type {const} */ ({
  file: { type: "string" },
  width: { type: "string", default: "1" },
  rate: { type: "string" },
  epochs: { type: "string", default: "100" },
  svg: { type: "string", default: "out/kernel-regression.svg" },
  help: { type: "boolean", short: "h", default: false },
});

/**
 * @typedef {object} Arguments
 * @property {boolean} help
 * @property {string | undefined} file undefined: the recorded samples
 * @property {number} width
 * @property {number | undefined} rate
 * @property {number} epochs
 * @property {string} svg
 */

/** @param {string[]} words @returns {Arguments} */
export function readArguments(words) {
  const { values } = parseCall({ args: words, options: OPTIONS, strict: true, allowPositionals: false });
  const { help, file, width, rate, epochs, svg } = values;
  return {
    help,
    file,
    width: number("width", width),
    rate: rate === undefined ? undefined : number("rate", rate),
    epochs: number("epochs", epochs),
    svg,
  };
}

/** @param {string} name @param {string} text */
function number(name, text) {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new UsageError(`--${name} is a number, not "${text}"`);
  return value;
}
