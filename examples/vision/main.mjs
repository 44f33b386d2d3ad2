// @ts-check
/**
 * Where attention goes in a picture: spatial softmax attention and CBAM over feature maps of a scene, drawn over it and told in
 * numbers. The filters and weights are set by hand; a network would learn them. `--help` says what it takes.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { init } from "saccade";
import { cbam, spatialSoftmaxAttention } from "saccade/vision";
import { CHANNELS, featuresOf } from "./features.mjs";
import { panel, writePanels } from "./picture.mjs";
import { paintScene, REGIONS } from "./scene.mjs";

const HELP = `usage: node examples/vision/main.mjs [options]

  --png PATH         where the picture goes (out/vision-attention.png): the scene, softmax over its places,
                     CBAM's gate per place, and the strongest feature of the refined map
  --temperature T    of the softmax: above 0, lower is sharper (1)
  --help             this text`;

const [WIDTH, HEIGHT, STEP] = [512, 320, 4];

/** What a place's score is made of: its colour contrast most of all. */
const SCORE = { light: 0, "red - green": 2, "blue - yellow": 0, edges: 0.5, "light contrast": 1, "colour contrast": 5 };

/** @param {number[][]} rows */
const matrix = (rows) => ({ data: Float32Array.from(rows.flat()), shape: [rows.length, rows[0]?.length ?? 0] });
/** @param {number[]} list */
const vector = (list) => ({ data: Float32Array.from(list), shape: [list.length] });

/** CBAM's weights: a unit for colour, one for structure; plain light gets no gate of its own. */
const BOTTLENECK = {
  w1: matrix([
    [0, 1, -1, 0, 0, 1],
    [0, 0, 0, 1, 1, 0],
  ]),
  w2: matrix([
    [0, 0],
    [2, 0],
    [0, 0],
    [0, 1],
    [0, 1],
    [2, 0],
  ]),
  b2: vector([-0.75, -0.75, -0.75, -0.75, -0.75, -0.75]),
};

/** A 7 x 7 kernel per map: the middle against what surrounds it, and of the maximum twice as much as of the mean. */
function centreAgainstSurround() {
  const weights = [1, 2].map((gain) =>
    Array.from({ length: 49 }, (_, i) => {
      const [x, y] = [(i % 7) - 3, Math.floor(i / 7) - 3];
      return x * x + y * y <= 5 ? gain * 0.5 : -gain * 0.3;
    }),
  );
  return { data: Float32Array.from(weights.flat()), shape: [1, 2, 7, 7] };
}

async function main() {
  const { values } = parseArgs({
    options: {
      png: { type: "string", default: "out/vision-attention.png" },
      temperature: { type: "string", default: "1" },
      help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const temperature = Number(values.temperature);
  if (!(temperature > 0 && temperature < 1e6)) {
    console.error(`error: --temperature is ${values.temperature}; expected a number above 0`);
    return 2;
  }
  await init();
  const scene = paintScene(WIDTH, HEIGHT);
  const x = featuresOf(scene, STEP);
  const [, channels, rows, columns] = x.shape;
  const w = vector(CHANNELS.map((name) => SCORE[/** @type {keyof typeof SCORE} */ (name)]));
  const softmax = spatialSoftmaxAttention(x, { w, temperature });
  const conv = centreAgainstSurround();
  const gates = cbam(x, { ...BOTTLENECK, conv, bias: vector([-2.5]), returnWeights: true });
  const { channelWeights, spatialWeights } = gates;

  console.log(`a scene of ${WIDTH} x ${HEIGHT} pixels as ${channels} feature maps of ${columns} x ${rows} places`);
  console.log("\nspatial softmax attention: where the weight lies");
  const places = regionsOfPlaces(scene);
  const total = places.length;
  for (const [region, name] of REGIONS.entries()) {
    const inside = softmax.weights.data.filter((_, place) => places[place] === region);
    const area = inside.length / total;
    const weight = inside.reduce((a, b) => a + b, 0);
    const bar = "#".repeat(Math.round(weight * 40));
    console.log(`  ${name.padEnd(8)} ${percent(weight)} of the weight, ${percent(area)} of the area  ${bar}`);
  }
  const peak = softmax.weights.data.reduce((best, weight, i, all) => (weight > (all[best] ?? 0) ? i : best), 0);
  console.log(`  most at (${peak % columns}, ${Math.floor(peak / columns)}): ${REGIONS[places[peak] ?? 0]}`);
  console.log("\nthe features that attention brings together, against their average over all places");
  CHANNELS.forEach((name, c) => {
    const average = x.data.subarray(c * total, (c + 1) * total).reduce((a, b) => a + b, 0) / total;
    console.log(`  ${name.padEnd(16)} ${softmax.out.data[c]?.toFixed(3)}  against ${average.toFixed(3)}`);
  });
  console.log("\nCBAM: the gate of each channel, then of each place");
  CHANNELS.forEach((name, c) => {
    console.log(`  ${name.padEnd(16)} ${channelWeights.data[c]?.toFixed(3)}`);
  });
  for (const [region, name] of REGIONS.entries()) {
    const inside = spatialWeights.data.filter((_, place) => places[place] === region);
    console.log(`  ${name.padEnd(16)} ${(inside.reduce((a, b) => a + b, 0) / inside.length).toFixed(3)} on average`);
  }

  const map = (/** @type {Float32Array} */ data) => panel(scene, { data, columns, rows });
  const strongest = Float32Array.from({ length: total }, (_, p) =>
    CHANNELS.reduce((most, _, c) => Math.max(most, gates.out.data[c * total + p] ?? 0), 0),
  );
  const panels = [panel(scene), map(softmax.weights.data), map(spatialWeights.data), map(strongest)];
  await mkdir(dirname(values.png), { recursive: true });
  await writeFile(values.png, writePanels(panels, scene, 2));
  console.log(`\nthe picture: ${values.png}`);
  console.log("  above: the scene; where softmax attention looks");
  console.log(
    "  below: CBAM's gate of the places (its frame is the border, beyond which lies nothing); the strongest gated feature",
  );
  return 0;
}

/** The region at the middle of each place. @param {import("./scene.mjs").Scene} scene */
function regionsOfPlaces({ regions }) {
  const columns = WIDTH / STEP;
  return Array.from({ length: (WIDTH / STEP) * (HEIGHT / STEP) }, (_, place) => {
    const [x, y] = [(place % columns) * STEP + STEP / 2, Math.floor(place / columns) * STEP + STEP / 2];
    return regions[y * WIDTH + x];
  });
}

/** @param {number} share */
const percent = (share) => `${(100 * share).toFixed(1).padStart(5)} %`;

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`error: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 2;
}
