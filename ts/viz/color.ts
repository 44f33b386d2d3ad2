/**
 * The colours of a heatmap: one sequence from paper white over yellow, green and blue to a deep indigo, built in OKLab
 * (Björn Ottosson, 2020), where equal steps look equally far apart. Lightness falls evenly along it, so it also reads
 * in grey and for colour-blind eyes.
 */

/** Red, green and blue, 0 to 255. */
export type Rgb = readonly [red: number, green: number, blue: number];

/** Chroma and hue at evenly spaced places; lightness is a straight line. All lie inside sRGB. */
const CHROMA = [0.004, 0.09, 0.125, 0.097, 0.1, 0.13, 0.1];
const HUE = [105, 110, 145, 192, 243, 265, 282];
const LIGHTEST = 0.985;
const DARKEST = 0.27;

/** Lightness of the colour at `share`, 1 = white. */
export function lightnessAt(share: number): number {
  return LIGHTEST + (DARKEST - LIGHTEST) * share;
}

function between(stops: readonly number[], share: number): number {
  const place = share * (stops.length - 1);
  const left = Math.min(Math.floor(place), stops.length - 2);
  const [a, b] = stops.slice(left, left + 2) as [number, number];
  return a + (b - a) * (place - left);
}

/** The colour for a share in [0, 1] of the range: 0 is nearly white, 1 nearly black. */
export function colorAt(share: number): Rgb {
  const chroma = between(CHROMA, share);
  const hue = (between(HUE, share) * Math.PI) / 180;
  return fromOklab(lightnessAt(share), chroma * Math.cos(hue), chroma * Math.sin(hue));
}

function fromOklab(lightness: number, a: number, b: number): Rgb {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    encoded(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    encoded(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    encoded(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

/** Linear light to an sRGB byte. */
function encoded(linear: number): number {
  const value = linear <= 0.0031308 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - 0.055;
  return Math.round(255 * Math.min(1, Math.max(0, value)));
}

/** `#rrggbb` */
export function hex([red, green, blue]: Rgb): string {
  return `#${((red << 16) | (green << 8) | blue).toString(16).padStart(6, "0")}`;
}

/** The nearest of the 216 colours and 24 greys of a 256-colour terminal. */
export function ansi256(color: Rgb): number {
  const cube = color.map((value) => (value < 48 ? 0 : value < 115 ? 1 : Math.floor((value - 35) / 40)));
  const grey = Math.min(23, Math.max(0, Math.round((color[0] * 0.3 + color[1] * 0.59 + color[2] * 0.11 - 8) / 10)));
  const distance = (other: readonly number[]) => other.reduce((sum, v, i) => sum + (v - (color[i] as number)) ** 2, 0);
  const cubeDistance = distance(cube.map((step) => (step === 0 ? 0 : 55 + step * 40)));
  const [r, g, b] = cube as [number, number, number];
  return distance(Array(3).fill(8 + grey * 10)) < cubeDistance ? 232 + grey : 16 + 36 * r + 6 * g + b;
}
