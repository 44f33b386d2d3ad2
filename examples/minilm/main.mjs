// @ts-check
/**
 * The main job: attention over the recorded tensors of a real sentence encoder (or over your own), checked against
 * float64, drawn, and timed. `--help` says what it takes.
 */
import chalk from "chalk";
import { attention, init } from "saccade";
import { heatmap } from "saccade/viz";
import { runExample, save, UsageError } from "../usage.mjs";
import { HELP, readArguments } from "./arguments.mjs";
import { countFlops, measureSpeed } from "./speed.mjs";
import { axesOf, ownWork, recordedWork } from "./tensors.mjs";
import { verify } from "./verify.mjs";

/** More rows or columns than this are no picture any more. */
const MAX_CELLS = 128;

// chalk looks at the terminal, not at NO_COLOR.
const { NO_COLOR } = process.env;
if (NO_COLOR) chalk.level = 0;

/** @typedef {import("./tensors.mjs").Work} Work */
/** @typedef {import("./tensors.mjs").Tensor} Tensor */

async function main() {
  const args = readArguments(process.argv.slice(2));
  if (args.help) {
    console.log(HELP);
    return 0;
  }
  const work = args.file === undefined ? await recordedWork(args) : await ownWork(args, args.file);
  await init();
  const { layout, causal } = args;
  const query = axesOf(work.query.shape, layout);
  const kvLen = axesOf(work.key.shape, layout).seq;
  const qOffset = Array.from({ length: query.batch }, (_, b) =>
    causal ? (work.kvLengths?.[b] ?? kvLen) - query.seq : 0,
  );
  const options = {
    layout,
    causal,
    qOffset,
    ...(work.scale === undefined ? {} : { scale: work.scale }),
    ...(work.kvLengths === undefined ? {} : { kvLengths: work.kvLengths }),
  };
  const { out, lse } = attention(work.query, work.key, work.value, { ...options, returnLse: true });
  for (const line of work.about) console.log(line);
  console.log();

  const exitCode = report(verify(work, { layout, causal, qOffset }, { out: /** @type {Tensor} */ (out), lse }));
  await draw(work, args, qOffset);
  const valueHeadDim = axesOf(work.value.shape, layout).dim;
  const { batch, heads, seq: qLen, dim: headDim } = query;
  const size = { batch, heads, qLen, kvLen, headDim, valueHeadDim, causal, qOffset, kvLengths: work.kvLengths };
  await reportSpeed(work, options, countFlops(size), `${headDim} per head, ${keysText(work.kvLengths, kvLen)}`);
  return exitCode;
}

/** @param {ReturnType<typeof verify>} check */
function report(check) {
  if ("skipped" in check) {
    console.log(`not compared with float64: ${check.skipped}\n`);
    return 0;
  }
  const failed = check.verdicts.some(({ margin }) => !(margin <= 1));
  for (const { name, count, margin } of check.verdicts) {
    const verdict = margin <= 1 ? chalk.green("ok") : chalk.red("TOO LARGE");
    const counted = count.toLocaleString("en-GB").padStart(9);
    console.log(`${name}: ${counted} values, largest error ${margin.toFixed(3)} of its bound  ${verdict}`);
  }
  console.log(`(float64 result ${check.from}; the bound is what float32 rounding explains, to first order)\n`);
  return failed ? 1 : 0;
}

/** Prints the weights of one head and writes them as SVG. @param {Work} work @param {import("./arguments.mjs").Arguments} args @param {number[]} qOffset */
async function draw(work, { layout, causal, svg }, qOffset) {
  const { batch, head, tokens, subtitle } = work.shown;
  const group = axesOf(work.query.shape, layout).heads / axesOf(work.key.shape, layout).heads;
  const query = oneHead(work.query, layout, batch, head, MAX_CELLS);
  const key = oneHead(work.key, layout, batch, Math.floor(head / group));
  const value = oneHead(work.value, layout, batch, Math.floor(head / group));
  const valid = work.kvLengths?.[batch] ?? key.shape[0];
  const { weights } = attention(query, key, value, {
    causal,
    qOffset: qOffset[batch] ?? 0,
    kvLengths: [valid],
    returnWeights: true,
    ...(work.scale === undefined ? {} : { scale: work.scale }),
  });
  // A sentence that attends to itself has no more queries than keys that count; the rest is padding.
  const sameLength = axesOf(work.query.shape, layout).seq === key.shape[0];
  const rows = Math.min(query.shape[0], sameLength ? valid : MAX_CELLS);
  const columns = Math.min(valid, MAX_CELLS);
  if (tokens !== undefined && tokens.length < Math.max(rows, columns)) {
    throw new UsageError(`--tokens: ${tokens.length} labels for ${Math.max(rows, columns)} rows and columns`);
  }
  /** @param {number} count */
  const labels = (count) => Array.from({ length: count }, (_, i) => tokens?.[i] ?? String(i));
  const picture = heatmap(weights, {
    rowLabels: labels(rows),
    columnLabels: labels(columns),
    title: work.title,
    subtitle,
    rowTitle: "query (looks)",
    columnTitle: "key (is looked at)",
    marks: work.notable,
  });
  const color = /** @type {const} */ (["none", "none", "256", "truecolor"])[chalk.level];
  // A terminal that does not know its size says 0.
  console.log(picture.text({ color, width: process.stdout.columns || 100 }));
  for (const { row, column, what } of work.notable) {
    const weight = /** @type {number} */ (weights.data[row * key.shape[0] + column]);
    console.log(`"${tokens?.[row]}" looks at "${tokens?.[column]}" with ${weight.toFixed(3)}: ${what}`);
  }
  await save(svg, picture.svg());
  console.log(`the same as a picture: ${svg}\n`);
}

/**
 * One head as a view into the whole tensor: nothing is copied.
 *
 * @param {Tensor} tensor
 * @param {"bshd" | "bhsd"} layout
 * @param {number} batch
 * @param {number} head
 * @param {number} [maxRows]
 */
function oneHead({ data, shape }, layout, batch, head, maxRows = Number.POSITIVE_INFINITY) {
  const { heads, seq, dim } = axesOf(shape, layout);
  const row = layout === "bshd" ? heads * dim : dim;
  const offset = batch * heads * seq * dim + head * (layout === "bshd" ? dim : seq * dim);
  return { data, shape: /** @type {[number, number]} */ ([Math.min(seq, maxRows), dim]), strides: [row, 1], offset };
}

/** @param {Work} work @param {Parameters<typeof measureSpeed>[1]} options @param {number} flops @param {string} size */
async function reportSpeed(work, options, flops, size) {
  const { copied, resident, gflops, peak, share } = await measureSpeed(work, options, flops);
  console.log(
    `time: ${resident.toFixed(2)} ms a call, resident tensors (${copied.toFixed(2)} ms with copies in and out)`,
  );
  console.log(
    `      ${gflops.toFixed(1)} GFLOP/s = ${share.toFixed(2)} of this machine's SIMD peak (${peak.toFixed(1)} GFLOP/s)`,
  );
  console.log(chalk.dim(`      (${size}: short rows keep less of a tile busy; npm run bench measures long ones)`));
}

/** @param {number[] | undefined} lengths @param {number} kvLen */
function keysText(lengths, kvLen) {
  return lengths === undefined ? `${kvLen} keys` : `${Math.min(...lengths)} to ${Math.max(...lengths)} keys`;
}

await runExample(main);
