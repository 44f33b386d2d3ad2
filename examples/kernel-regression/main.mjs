// @ts-check
/**
 * Kernel regression: attention before it had the name. Fits a curve with a given width and with a learned one, checks the first
 * against PyTorch, and draws both with their attention. `--help` says what it takes.
 */
import chalk from "chalk";
import { fitWidth, init, nadarayaWatson } from "saccade";
import { heatmap } from "saccade/viz";
import { runExample, save } from "../usage.mjs";
import { HELP, readArguments } from "./arguments.mjs";
import { renderPlot, text } from "./plot.mjs";
import { evenly, ownSamples, recordedSamples } from "./samples.mjs";

/** @typedef {import("./samples.mjs").Samples} Samples */
/** @typedef {{ name: string, width: number, loss: number, weights: { data: Float32Array, shape: readonly number[] }, curve: Float32Array, color: string }} Fit */

/** What float32 explains: the recorded prediction is float64, rounded. */
const TOLERANCE = 2e-6;

// chalk looks at the terminal, not at NO_COLOR.
const { NO_COLOR } = process.env;
if (NO_COLOR) chalk.level = 0;

async function main() {
  const args = readArguments(process.argv.slice(2));
  if (args.help) {
    console.log(HELP);
    return 0;
  }
  const samples = args.file === undefined ? await recordedSamples() : await ownSamples(args.file);
  await init();
  const { x, y } = samples;
  console.log(`${samples.about}\n`);
  const exitCode = check(samples);

  const descent = { initialWidth: args.width, epochs: args.epochs };
  const fitted = fitWidth(x, y, args.rate === undefined ? descent : { ...descent, learningRate: args.rate });
  const before = fitWidth(x, y, { initialWidth: args.width, epochs: 0 });
  console.log("learning the width: every sample predicted from all the others, the squared errors added\n");
  console.log("   epoch      width       loss");
  const { history } = fitted;
  const shown = new Set([0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].filter((epoch) => epoch < history.length));
  for (const { epoch, width, loss } of history.filter(({ epoch }) => shown.has(epoch)))
    console.log(row(epoch, width, loss));
  console.log(row(history.length, fitted.width, fitted.loss));
  console.log(`\nloss ${before.loss.toFixed(3)} before, ${fitted.loss.toFixed(3)} after\n`);

  const places = evenly(
    /** @type {number} */ (samples.queries.data[0]),
    /** @type {number} */ (samples.queries.data.at(-1)),
    241,
  );
  /** @param {string} name @param {number} width @param {number} loss @param {string} color @returns {Fit} */
  const regress = (name, width, loss, color) => {
    const { weights } = nadarayaWatson(samples.queries, x, y, { width, returnWeights: true });
    const { out } = nadarayaWatson(places, x, y, { width });
    return { name, width, loss, weights: /** @type {Fit["weights"]} */ (weights), curve: out.data, color };
  };
  const fits = [
    regress("given", args.width, before.loss, "#e8590c"),
    regress("learned", fitted.width, fitted.loss, "#1864ab"),
  ];
  if (samples.truth !== undefined) {
    const truth = Array.from(places.data, samples.truth);
    for (const { name, curve } of fits) {
      const mean = truth.reduce((sum, t, i) => sum + (t - /** @type {number} */ (curve[i])) ** 2, 0) / truth.length;
      console.log(`${name.padEnd(7)} width: root mean square distance from the truth ${Math.sqrt(mean).toFixed(3)}`);
    }
  }
  await save(args.svg, picture(samples, places.data, fits));
  console.log(`the curves and who looks at whom: ${args.svg}`);
  return exitCode;
}

/** @param {number} epoch @param {number} width @param {number} loss */
function row(epoch, width, loss) {
  return `${String(epoch).padStart(8)}${width.toFixed(4).padStart(11)}${loss.toFixed(3).padStart(11)}`;
}

/** Compares with the recorded prediction, where there is one. @param {Samples} samples */
function check({ x, y, queries, prediction }) {
  if (prediction === undefined) return 0;
  const { out } = nadarayaWatson(queries, x, y, { width: 1 });
  const difference = out.data.reduce(
    (most, value, i) => Math.max(most, Math.abs(value - /** @type {number} */ (prediction.data[i]))),
    0,
  );
  const good = difference <= TOLERANCE;
  const verdict = good ? chalk.green("ok") : chalk.red("TOO LARGE");
  console.log(`width 1: largest difference from PyTorch's prediction ${difference.toExponential(1)}  ${verdict}\n`);
  return good ? 0 : 1;
}

/** The whole picture. @param {Samples} samples @param {Float32Array} places @param {Fit[]} fits */
function picture({ about, x, y, queries, truth }, places, fits) {
  const largest = fits.reduce((most, { weights }) => weights.data.reduce((a, b) => Math.max(a, b), most), 0);
  const maps = fits.map(({ name, width, weights }) =>
    heatmap(weights, {
      title: `${name} width, ${width.toFixed(3)}`,
      subtitle: "weight of a sample in the prediction at a query",
      rowLabels: labels(queries.data),
      columnLabels: labels(x.data),
      rowTitle: "query: where a value is wanted",
      columnTitle: "key: input of a sample",
      range: [0, largest],
    }).svg(),
  );
  const sizes = maps.map((svg) => {
    const [, width, height] = /** @type {RegExpExecArray} */ (/ width="(\d+)" height="(\d+)"/.exec(svg));
    return { width: Number(width), height: Number(height) };
  });
  const mapsTop = 560;
  const total = {
    width: sizes.reduce((sum, size) => sum + size.width, 0),
    height: mapsTop + Math.max(...sizes.map(({ height }) => height)),
  };
  const plot = renderPlot({
    ...{ x: 0, y: 44, width: total.width, height: mapsTop - 44 },
    title: "The prediction at x is the mean of the samples, weighed by exp(−(distance / width)² / 2)",
    xTitle: "x",
    yTitle: "y",
    points: { name: "samples", x: x.data, y: y.data, color: "#495057" },
    curves: [
      ...(truth ? [{ name: "truth", x: places, y: Array.from(places, truth), color: "#2b8a3e", dashed: true }] : []),
      ...fits.map(({ name, width, loss, curve, color }) => {
        const label = `${name} width ${width.toFixed(3)}, leave-one-out loss ${loss.toFixed(2)}`;
        return { name: label, x: places, y: curve, color };
      }),
    ],
  });
  let left = 0;
  const placed = maps.map((svg, i) => {
    const at = left;
    left += sizes[i]?.width ?? 0;
    return svg.replace("<svg ", `<svg x="${at}" y="${mapsTop}" `);
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" role="img" width="${total.width}" height="${total.height}" viewBox="0 0 ${total.width} ${total.height}" font-family="system-ui, 'Segoe UI', Roboto, 'Noto Sans', Arial, sans-serif">`,
    "<title>Kernel regression</title>",
    `<rect width="${total.width}" height="${total.height}" fill="#fff"/>`,
    text(20, 32, `Kernel regression: ${about}`, 'font-size="19" font-weight="600" fill="#1d2433"'),
    plot,
    ...placed,
    "</svg>\n",
  ].join("\n");
}

/** @param {Float32Array} numbers */
const labels = (numbers) => Array.from(numbers, (value) => value.toFixed(2));

await runExample(main);
