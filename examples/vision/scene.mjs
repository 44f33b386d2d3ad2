// @ts-check
/**
 * A photograph that needs no file: sky and clouds, two ranges of hills, a meadow with flowers, and a ball that throws a
 * shadow. Made of additions, products and square roots only, so that it is the same picture everywhere.
 */

/** What a pixel shows, by its number in {@link Scene.regions}. */
export const REGIONS = /** @type {const} */ (["sky", "hills", "meadow", "flowers", "shadow", "ball"]);

/**
 * @typedef {object} Scene
 * @property {number} width
 * @property {number} height
 * @property {Float32Array} rgb `[height, width, 3]`, from 0 to 1
 * @property {Uint8Array} regions `[height, width]`: which of {@link REGIONS}
 */

/** @typedef {[number, number, number]} Color */

const HORIZON = 0.6;
const BALL = { x: 1.02, y: 0.72, radius: 0.115 };
/** Where the light comes from: the upper left, towards us. */
const LIGHT = unit([-0.55, -0.65, 0.52]);

/** @param {Color} v */
function unit([x, y, z]) {
  const length = Math.sqrt(x * x + y * y + z * z);
  return /** @type {Color} */ ([x / length, y / length, z / length]);
}

/** @param {number} x */
const clamp = (x) => Math.min(Math.max(x, 0), 1);
/** @param {number} from @param {number} to @param {number} x */
function smooth(from, to, x) {
  const t = clamp((x - from) / (to - from));
  return t * t * (3 - 2 * t);
}
/** @param {Color} a @param {Color} b @param {number} t @returns {Color} */
const mix = (a, b, t) => [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t];
/** @param {Color} a @param {number} f @returns {Color} */
const times = (a, f) => [a[0] * f, a[1] * f, a[2] * f];

/** From 0 to 1, without pattern. @param {number} x @param {number} y */
function dice(x, y) {
  let h = Math.imul(x, 0x27d4eb2d) ^ Math.imul(y, 0x165667b1);
  h = Math.imul(h ^ (h >>> 15), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32;
}

/** Smooth noise with one feature per unit. @param {number} x @param {number} y */
function noise(x, y) {
  const [i, j] = [Math.floor(x), Math.floor(y)];
  const [u, v] = [smooth(0, 1, x - i), smooth(0, 1, y - j)];
  const top = dice(i, j) + (dice(i + 1, j) - dice(i, j)) * u;
  const bottom = dice(i, j + 1) + (dice(i + 1, j + 1) - dice(i, j + 1)) * u;
  return top + (bottom - top) * v;
}

/** Noise of several sizes. @param {number} x @param {number} y @param {number} octaves */
function cloud(x, y, octaves = 5) {
  let [sum, weight] = [0, 0.5];
  for (let k = 0; k < octaves; k++) {
    sum += weight * noise(x * 2 ** k + 17 * k, y * 2 ** k + 31 * k);
    weight /= 2;
  }
  return sum;
}

/** @param {number} x @param {number} y @returns {Color} */
function sky(x, y) {
  const t = y / HORIZON;
  const air = mix([0.2, 0.42, 0.76], [0.95, 0.83, 0.7], t * t * t);
  const white = smooth(0.5, 0.78, cloud(x * 2.2 + 4, y * 5.5 + 9)) * (1 - 0.6 * t);
  return mix(air, [0.98, 0.96, 0.94], white * 0.85);
}

/** @param {number} x @param {number} y @returns {Color} */
function meadow(x, y) {
  const depth = 0.06 / (y - HORIZON + 0.035);
  const blades = cloud(x * 26 * (0.4 + depth), depth * 70, 4) - 0.45;
  const patches = cloud(x * 3 + 50, depth * 9, 3) - 0.45;
  const far = smooth(0, 1, depth / 1.7);
  return times(mix([0.2, 0.34, 0.09], [0.5, 0.58, 0.3], far), 1 + 0.55 * blades + 0.7 * patches);
}

/** @param {number} dx @param {number} dy both in radii @returns {Color} */
function ball(dx, dy) {
  const dz = Math.sqrt(Math.max(0, 1 - dx * dx - dy * dy));
  const facing = dx * LIGHT[0] + dy * LIGHT[1] + dz * LIGHT[2];
  const light = 0.16 + 0.9 * Math.max(0, facing) + 0.1 * Math.max(0, dy);
  const mirror = 2 * facing * dz - LIGHT[2];
  const gloss = Math.max(0, mirror) ** 24;
  return mix(times([0.9, 0.15, 0.09], light), [1, 0.97, 0.92], clamp(gloss * 0.9));
}

/** Color and region at (x, y), y from 0 (top) to 1, x in the same unit. @param {number} x @param {number} y */
function look(x, y) {
  const [dx, dy] = [(x - BALL.x) / BALL.radius, (y - BALL.y) / BALL.radius];
  if (dx * dx + dy * dy <= 1) return { color: ball(dx, dy), region: 5 };
  if (y >= HORIZON) {
    let color = meadow(x, y);
    const [sx, sy] = [(x - BALL.x - 0.13) / 0.22, (y - BALL.y - 0.105) / 0.036];
    const shade = 1 - smooth(0.35, 1.1, Math.sqrt(sx * sx + sy * sy));
    // Flowers: one in some cells of a grid that grows towards us.
    const size = 0.012 + 0.05 * (y - HORIZON);
    const [i, j] = [Math.floor(x / 0.045), Math.floor(y / 0.03)];
    const [fx, fy] = [(i + 0.2 + 0.6 * dice(i, j + 900)) * 0.045, (j + 0.2 + 0.6 * dice(i + 900, j)) * 0.03];
    const petal = Math.sqrt((x - fx) ** 2 + ((y - fy) * 1.4) ** 2) < size * 0.38 && dice(i + 77, j + 77) < 0.13;
    if (petal) color = dice(i, j) < 0.5 ? [0.95, 0.83, 0.25] : [0.93, 0.92, 0.88];
    return { color: times(color, 1 - 0.62 * shade), region: petal ? 3 : shade > 0.4 ? 4 : 2 };
  }
  const near = HORIZON - 0.015 - 0.11 * noise(x * 2.3 + 3, 0.5) - 0.012 * noise(x * 19, 7.5);
  if (y > near) {
    return {
      color: times([0.25, 0.36, 0.25], 0.85 + 0.35 * cloud(x * 30, y * 42, 3) - 0.4 * (HORIZON - y)),
      region: 1,
    };
  }
  const far = HORIZON - 0.05 - 0.26 * noise(x * 2.6 + 5, 2.5) - 0.02 * noise(x * 13, 4.5);
  if (y > far) {
    const haze = mix([0.36, 0.45, 0.58], [0.66, 0.7, 0.72], smooth(far, HORIZON, y));
    return { color: times(haze, 0.9 + 0.2 * cloud(x * 9, y * 24, 4)), region: 1 };
  }
  return { color: sky(x, y), region: 0 };
}

/**
 * The picture, each pixel the mean of 2 x 2 looks.
 *
 * @param {number} width
 * @param {number} height
 * @returns {Scene}
 */
export function paintScene(width, height) {
  const rgb = new Float32Array(width * height * 3);
  const regions = new Uint8Array(width * height);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const at = row * width + column;
      for (const dy of [0.25, 0.75]) {
        for (const dx of [0.25, 0.75]) {
          const { color, region } = look((column + dx) / height, (row + dy) / height);
          color.forEach((value, c) => {
            rgb[at * 3 + c] = (rgb[at * 3 + c] ?? 0) + clamp(value) / 4;
          });
          regions[at] = region;
        }
      }
    }
  }
  return { width, height, rgb, regions };
}
