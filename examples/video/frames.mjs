// @ts-check
/**
 * A short film that needs no file: a red ball rolls into a meadow, slows down, rests, and rolls out again faster and faster. The
 * camera has a little noise.
 */

/** Size of a frame in places. */
export const [COLUMNS, ROWS] = [48, 20];
export const FRAMES = 32;
/** Channels of {@link film}. */
export const CHANNELS = ["red - green", "motion"];

/** Where the ball's middle is in each frame, in places from the left; far outside where it is not to be seen. */
export const PATH = Array.from({ length: FRAMES }, (_, t) => {
  if (t < 5) return -9;
  if (t < 13) return 25 - ((12 - t) * (12 - t)) / 2;
  if (t < 20) return 25;
  const gone = t - 19;
  return 25 + gone * gone * 0.45;
});

/** From -0.5 to 0.5, without pattern. @param {number} n */
function grain(n) {
  let h = Math.imul(n + 1, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 15), 0x85ebca6b);
  return ((h ^ (h >>> 13)) >>> 0) / 2 ** 32 - 0.5;
}

/** Red less green of a place at time t. @param {number} t @param {number} x @param {number} y */
function redness(t, x, y) {
  const [dx, dy] = [x - (PATH[t] ?? -9), y - 12];
  const ball = Math.min(Math.max(3.5 - Math.sqrt(dx * dx + dy * dy), 0), 1);
  const meadow = y < 8 ? -0.05 : -0.25;
  return meadow * (1 - ball) + 0.75 * ball + 0.04 * grain((t * ROWS + y) * COLUMNS + x);
}

/** The frames as feature maps `[time, channels, height, width]`: how red, and how unlike the frame before. */
export function film() {
  const places = ROWS * COLUMNS;
  const data = new Float32Array(FRAMES * 2 * places);
  for (let t = 0; t < FRAMES; t++) {
    for (let place = 0; place < places; place++) {
      const [x, y] = [place % COLUMNS, Math.floor(place / COLUMNS)];
      const now = redness(t, x, y);
      data[t * 2 * places + place] = Math.max(now, 0);
      data[(t * 2 + 1) * places + place] = Math.abs(now - redness(Math.max(t - 1, 0), x, y));
    }
  }
  return { data, shape: [FRAMES, 2, ROWS, COLUMNS] };
}
