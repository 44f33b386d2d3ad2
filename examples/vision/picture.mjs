// @ts-check
/** A picture of attention: panels side by side, a map laid over a greyed scene as heat, written as PNG. */
import { PNG } from "pngjs";

/** @typedef {import("./scene.mjs").Scene} Scene */
/** @typedef {{ data: Float32Array, columns: number, rows: number }} AttentionMap */

/** Dark violet, magenta, orange, pale yellow: dark to light also for those who see no hue. */
/** @type {[number, number, number][]} */
const HEAT = [
  [0.05, 0.03, 0.2],
  [0.45, 0.1, 0.48],
  [0.86, 0.26, 0.36],
  [0.99, 0.62, 0.3],
  [1, 0.96, 0.72],
];

/** @param {number} t from 0 to 1 */
function heat(t) {
  const at = Math.min(Math.max(t, 0), 1) * (HEAT.length - 1);
  const i = Math.min(Math.floor(at), HEAT.length - 2);
  const [from, to] = [HEAT[i] ?? [0, 0, 0], HEAT[i + 1] ?? [0, 0, 0]];
  return from.map((low, c) => low + ((to[c] ?? low) - low) * (at - i));
}

/** The map at a pixel, between its four nearest places. @param {AttentionMap} map @param {number} u @param {number} v */
function sample({ data, columns, rows }, u, v) {
  const [x, y] = [
    Math.min(Math.max(u * columns - 0.5, 0), columns - 1),
    Math.min(Math.max(v * rows - 0.5, 0), rows - 1),
  ];
  const [i, j] = [Math.min(Math.floor(x), columns - 2), Math.min(Math.floor(y), rows - 2)];
  const at = (/** @type {number} */ a, /** @type {number} */ b) => data[b * columns + a] ?? 0;
  const top = at(i, j) + (at(i + 1, j) - at(i, j)) * (x - i);
  const bottom = at(i, j + 1) + (at(i + 1, j + 1) - at(i, j + 1)) * (x - i);
  return top + (bottom - top) * (y - j);
}

/**
 * The scene, or a map over it: grey where nothing is attended, hot where much is; a square root spreads the small weights.
 *
 * @param {Scene} scene
 * @param {AttentionMap} [map]
 * @returns {(x: number, y: number) => number[]}
 */
export function panel({ width, height, rgb }, map) {
  const pixel = (/** @type {number} */ x, /** @type {number} */ y) =>
    [0, 1, 2].map((c) => rgb[(y * width + x) * 3 + c] ?? 0);
  if (map === undefined) return pixel;
  const [low, high] = map.data.reduce(([low, high], w) => [Math.min(low, w), Math.max(high, w)], [Infinity, -Infinity]);
  return (x, y) => {
    const [r = 0, g = 0, b = 0] = pixel(x, y);
    const grey = 0.12 + 0.5 * (0.3 * r + 0.59 * g + 0.11 * b);
    const share = Math.sqrt(
      Math.max(0, (sample(map, (x + 0.5) / width, (y + 0.5) / height) - low) / (high - low || 1)),
    );
    const cover = 0.18 + 0.68 * share;
    // The scene's own light stays visible through the heat.
    return heat(share).map((h) => grey * (1 - cover) + h * cover * (0.55 + 0.75 * grey));
  };
}

/**
 * @param {readonly ((x: number, y: number) => number[])[]} panels
 * @param {{ width: number, height: number }} size of a panel
 * @param {number} across panels in a row
 * @returns {Uint8Array} a PNG file
 */
export function writePanels(panels, { width, height }, across) {
  const gap = Math.round(width / 48);
  const down = Math.ceil(panels.length / across);
  const png = new PNG({ width: across * (width + gap) + gap, height: down * (height + gap) + gap });
  png.data.fill(255);
  panels.forEach((panel, i) => {
    const [left, top] = [gap + (i % across) * (width + gap), gap + Math.floor(i / across) * (height + gap)];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const at = ((top + y) * png.width + left + x) * 4;
        panel(x, y).forEach((value, c) => {
          png.data[at + c] = Math.round(255 * Math.min(Math.max(value, 0), 1));
        });
      }
    }
  });
  return PNG.sync.write(png);
}
