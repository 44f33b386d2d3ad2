// @ts-check
import { parseCall, UsageError } from "../usage.mjs";

export const HELP = `usage: node examples/alignment/main.mjs [options]

Encoder-decoder alignment by hand: "Tom chases Jerry" into 汤姆 追逐 杰瑞. First one context from weights that are given, then the
decoder without attention, whose context never changes, then a context for each target word from scores by softmax.

  --weights A,B,C    the shares of Tom, chases and Jerry in the first context; they are divided by their sum (0.3,0.2,0.5)
  --score SCORE      dot (default), scaled-dot, cosine or gaussian (a kernel of width 1)
  --temperature T    of the softmax: smaller is sharper (1)
  --svg PATH         the heatmap as a picture too
  --help             this text

exit code: 0 done, 2 the options do not make sense`;

/** @typedef {"dot" | "scaled-dot" | "cosine" | "gaussian"} ScoreName */

const SCORES = ["dot", "scaled-dot", "cosine", "gaussian"];

const OPTIONS = /** @type {const} */ ({
  weights: { type: "string", default: "0.3,0.2,0.5" },
  score: { type: "string", default: "dot" },
  temperature: { type: "string", default: "1" },
  svg: { type: "string" },
  help: { type: "boolean", short: "h", default: false },
});

/** @param {string[]} args @param {number} sourceLength how many weights there must be */
export function readArguments(args, sourceLength) {
  const { values } = parseCall({ args, options: OPTIONS, strict: true, allowPositionals: false });
  if (!SCORES.includes(values.score)) throw new UsageError(`--score is ${SCORES.join(", ")}, not "${values.score}"`);
  const temperature = Number(values.temperature);
  if (!(temperature >= 1e-6 && temperature <= 1e6)) {
    throw new UsageError(`--temperature is a number from 1e-6 to 1e6, not "${values.temperature}"`);
  }
  const parts = values.weights.split(",").map((text) => (text.trim() === "" ? Number.NaN : Number(text)));
  const total = parts.reduce((sum, part) => sum + part, 0);
  const allowed = parts.every((part) => part >= 0 && part <= 1e6) && total > 0;
  if (parts.length !== sourceLength || !allowed) {
    throw new UsageError(
      `--weights is ${sourceLength} numbers from 0 to 1e6, not all of them 0, with commas, not "${values.weights}"`,
    );
  }
  return {
    help: values.help,
    weights: parts.map((part) => part / total),
    score: /** @type {ScoreName} */ (values.score),
    temperature,
    svg: values.svg,
  };
}
