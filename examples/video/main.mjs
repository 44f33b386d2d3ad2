// @ts-check
/**
 * Attention in space, memory, then attention in time: where each frame of a film is looked at, what a recurrent layer makes of it,
 * and how much each moment counts in the end. Weights are set by hand; a network would learn them.
 */
import { init, temporalAttention } from "saccade";
import { GRU } from "saccade/nn";
import { spatialSoftmaxAttention } from "saccade/vision";
import { CHANNELS, COLUMNS, FRAMES, film, PATH, ROWS } from "./frames.mjs";

/** @param {number[]} list @param {number[]} shape */
const tensor = (list, ...shape) => ({ data: Float32Array.from(list), shape });

await init();
const frames = film();

// In space: frames are a batch of pictures here, and each is looked at where it is red or moves.
const looks = spatialSoftmaxAttention(frames, { w: tensor([6, 8], 2), temperature: 0.6 });

// Memory: a hidden unit for each feature, which keeps 0.6 of what it was (z) and takes in what the frame shows (n).
const keep = Math.log(0.6 / 0.4);
const gru = new GRU({
  weight_ih_l0: tensor([0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 3], 6, 2),
  weight_hh_l0: tensor(new Array(12).fill(0), 6, 2),
  bias_ih_l0: tensor([0, 0, keep, keep, 0, 0], 6),
  bias_hh_l0: tensor([0, 0, 0, 0, 0, 0], 6),
});
const { output } = gru.forward({ data: looks.out.data, shape: [1, FRAMES, CHANNELS.length] });

// In time: a layer and a query that ask for motion remembered.
const { out, weights, deviation } = temporalAttention(output, {
  w: tensor([0, 4], 1, 2),
  b: tensor([-1.5], 1),
  v: tensor([3], 1),
  returnDeviation: true,
});

console.log(`${FRAMES} frames of ${COLUMNS} x ${ROWS} places: a ball rolls in, rests, rolls out\n`);
console.log("frame  ball at  looked at  red    motion  weight in time");
for (let t = 0; t < FRAMES; t++) {
  const map = looks.weights.data.subarray(t * ROWS * COLUMNS, (t + 1) * ROWS * COLUMNS);
  const middle = map.reduce((sum, weight, place) => sum + weight * (place % COLUMNS), 0);
  const ball = PATH[t] ?? -9;
  const seen = ball > -3 && ball < COLUMNS + 3 ? ball.toFixed(1) : "-";
  const [red = 0, motion = 0] = looks.out.data.subarray(2 * t, 2 * t + 2);
  const weight = weights.data[t] ?? 0;
  const columns = [
    String(t).padStart(5),
    seen.padStart(7),
    middle.toFixed(1).padStart(9),
    red.toFixed(3),
    motion.toFixed(3),
  ];
  console.log(`${columns.join("  ")}   ${weight.toFixed(4)} ${"#".repeat(Math.round(weight * 300))}`);
}
const told = CHANNELS.map((name, d) => `${name} ${out.data[d]?.toFixed(3)} +- ${deviation?.data[d]?.toFixed(3)}`);
console.log(`\nthe film in two numbers: ${told.join(", ")}`);
gru.dispose();
