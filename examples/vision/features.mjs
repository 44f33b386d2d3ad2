// @ts-check
/**
 * Feature maps of a picture by fixed filters, after Itti, Koch and Niebur (1998): light, two opponent colours, edges, and how
 * far light and colour differ from what surrounds them. A network would have learned its own.
 */

/** Names of the channels. */
export const CHANNELS = ["light", "red - green", "blue - yellow", "edges", "light contrast", "colour contrast"];

/** @typedef {import("./scene.mjs").Scene} Scene */

/**
 * @param {Scene} scene
 * @param {number} step pixels of the picture to a place of the map, both ways
 * @returns {{ data: Float32Array, shape: [number, number, number, number] }} `[1, channels, height, width]`, each from 0 to 1
 */
export function featuresOf({ width, height, rgb }, step) {
  const [columns, rows] = [Math.floor(width / step), Math.floor(height / step)];
  const places = columns * rows;
  /** @param {(red: number, green: number, blue: number) => number} f */
  const plane = (f) => {
    const out = new Float64Array(places);
    for (let y = 0; y < rows * step; y++) {
      for (let x = 0; x < columns * step; x++) {
        const at = (y * width + x) * 3;
        const place = Math.floor(y / step) * columns + Math.floor(x / step);
        const [red = 0, green = 0, blue = 0] = rgb.subarray(at, at + 3);
        out[place] = (out[place] ?? 0) + f(red, green, blue) / (step * step);
      }
    }
    return out;
  };
  const light = plane((r, g, b) => (r + g + b) / 3);
  const redGreen = plane((r, g) => r - g);
  const blueYellow = plane((r, g, b) => b - (r + g) / 2);
  const size = /** @type {const} */ ([columns, rows]);
  const contrast = differenceFromSurround(light, size, 9);
  const [red, blue] = [differenceFromSurround(redGreen, size, 12), differenceFromSurround(blueYellow, size, 12)];
  const planes = [
    light,
    redGreen.map((x) => Math.max(x, 0)),
    blueYellow.map((x) => Math.max(x, 0)),
    edges(light, size),
    contrast,
    red.map((x, i) => x + (blue[i] ?? 0)),
  ];
  const data = new Float32Array(places * planes.length);
  planes.forEach((each, c) => {
    const most = each.reduce((a, b) => Math.max(a, b), 1e-9);
    data.set(
      each.map((x) => x / most),
      c * places,
    );
  });
  return { data, shape: [1, planes.length, rows, columns] };
}

/** The value at a place, those outside being the nearest inside. @param {Float64Array} plane @param {readonly [number, number]} size */
function reader(plane, [columns, rows]) {
  /** @param {number} x @param {number} y */
  return (x, y) => plane[Math.min(Math.max(y, 0), rows - 1) * columns + Math.min(Math.max(x, 0), columns - 1)] ?? 0;
}

/** Sobel's gradient. @param {Float64Array} plane @param {readonly [number, number]} size */
function edges(plane, size) {
  const at = reader(plane, size);
  return plane.map((_, i) => {
    const [x, y] = [i % size[0], Math.floor(i / size[0])];
    const across =
      at(x + 1, y - 1) + 2 * at(x + 1, y) + at(x + 1, y + 1) - at(x - 1, y - 1) - 2 * at(x - 1, y) - at(x - 1, y + 1);
    const down =
      at(x - 1, y + 1) + 2 * at(x, y + 1) + at(x + 1, y + 1) - at(x - 1, y - 1) - 2 * at(x, y - 1) - at(x + 1, y - 1);
    return Math.sqrt(across * across + down * down);
  });
}

/** |value - mean of a square round it|. @param {Float64Array} plane @param {readonly [number, number]} size @param {number} radius */
function differenceFromSurround(plane, size, radius) {
  const mean = (/** @type {Float64Array} */ of, /** @type {number} */ dx, /** @type {number} */ dy) => {
    const at = reader(of, size);
    return of.map((_, i) => {
      const [x, y] = [i % size[0], Math.floor(i / size[0])];
      let sum = 0;
      for (let k = -radius; k <= radius; k++) sum += at(x + k * dx, y + k * dy);
      return sum / (2 * radius + 1);
    });
  };
  const surround = mean(mean(plane, 1, 0), 0, 1);
  return plane.map((x, i) => Math.abs(x - (surround[i] ?? 0)));
}
