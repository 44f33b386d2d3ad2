// @ts-check
/** A plot of points and curves as SVG: enough of axes, lines and a legend for one picture. */

const INK = "#1d2433";
const QUIET = "#5b6475";
const GRID = "#e6e8ee";
const MARGIN = { left: 62, right: 18, top: 64, bottom: 50 };

/**
 * @typedef {object} Curve
 * @property {string} name
 * @property {ArrayLike<number>} x
 * @property {ArrayLike<number>} y
 * @property {string} color
 * @property {boolean} [dashed]
 */

/**
 * @typedef {object} Plot
 * @property {number} x where it stands in the picture
 * @property {number} y
 * @property {number} width
 * @property {number} height
 * @property {string} title
 * @property {string} xTitle
 * @property {string} yTitle
 * @property {{ name: string, x: ArrayLike<number>, y: ArrayLike<number>, color: string }} [points]
 * @property {Curve[]} curves
 */

/** @param {Plot} plot @returns {string} */
export function renderPlot(plot) {
  const { width, height, points, curves } = plot;
  const all = [...curves, ...(points ? [points] : [])];
  const xTicks = ticks(
    all.flatMap(({ x }) => Array.from(x)),
    Math.round(width / 110),
  );
  const yTicks = ticks(
    all.flatMap(({ y }) => Array.from(y)),
    Math.round(height / 70),
  );
  const [left, right] = [MARGIN.left, width - MARGIN.right];
  const [top, bottom] = [MARGIN.top, height - MARGIN.bottom];
  const toX = scale(xTicks, left, right);
  const toY = scale(yTicks, bottom, top);
  const lines = [
    `<svg x="${plot.x}" y="${plot.y}" width="${width}" height="${height}">`,
    text(left, 20, plot.title, `font-size="15" font-weight="600" fill="${INK}"`),
    ...yTicks.map((tick) => stroke(`M${left} ${toY(tick)}H${right}`, tick === 0 ? "#b9bfcb" : GRID, 1)),
    ...xTicks.map((tick) => stroke(`M${toX(tick)} ${top}V${bottom}`, GRID, 1)),
    ...yTicks.map((tick) => text(left - 8, toY(tick) + 4, label(tick, yTicks), `text-anchor="end" fill="${QUIET}"`)),
    ...xTicks.map((tick) => text(toX(tick), bottom + 19, label(tick, xTicks), `text-anchor="middle" fill="${QUIET}"`)),
    text((left + right) / 2, height - 10, plot.xTitle, `text-anchor="middle" fill="${QUIET}"`),
    `<g transform="translate(16 ${round((top + bottom) / 2)}) rotate(-90)">`,
    text(0, 0, plot.yTitle, `text-anchor="middle" fill="${QUIET}"`),
    "</g>",
    ...(points ? dots(points, toX, toY) : []),
    ...curves.map(({ x, y, color, dashed = false }) => {
      const path = Array.from(x, (at, i) => `${i === 0 ? "M" : "L"}${toX(at)} ${toY(/** @type {number} */ (y[i]))}`);
      return stroke(path.join(""), color, dashed ? 1.8 : 2.6, dashed);
    }),
    ...legend(all, left),
    "</svg>",
  ];
  return lines.join("\n");
}

/** @param {NonNullable<Plot["points"]>} points @param {(x: number) => number} toX @param {(y: number) => number} toY */
function dots({ x, y, color }, toX, toY) {
  const circles = Array.from(x, (at, i) => {
    const height = /** @type {number} */ (y[i]);
    return `<circle cx="${toX(at)}" cy="${toY(height)}" r="4"><title>${at.toFixed(2)}, ${height.toFixed(2)}</title></circle>`;
  });
  return [`<g fill="${color}" fill-opacity="0.55" stroke="#fff" stroke-width="0.8">`, ...circles, "</g>"];
}

/** @param {{ name: string, color: string, dashed?: boolean }[]} series @param {number} left */
function legend(series, left) {
  let x = left;
  // Points come last in the list and first in the legend.
  return [...series.slice(-1), ...series.slice(0, -1)].flatMap(({ name, color, dashed }, index) => {
    const at = x;
    x += 58 + name.length * 6.8;
    const sign =
      index === 0 && series.length > 1
        ? `<circle cx="${at + 12}" cy="40" r="4" fill="${color}" fill-opacity="0.55"/>`
        : stroke(`M${at} 40H${at + 24}`, color, dashed ? 1.8 : 2.6, dashed);
    return [sign, text(at + 32, 44, name, `fill="${INK}"`)];
  });
}

/** Round numbers around a range; an end may stand out of it by a twentieth of a step. @param {number[]} values @param {number} count */
function ticks(values, count) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const rough = (high - low || 1) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = /** @type {number} */ ([1, 2, 5, 10].find((n) => n * power >= rough)) * power;
  const [first, last] = [Math.floor(low / step + 0.05), Math.ceil(high / step - 0.05)];
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

/** @param {number} tick @param {number[]} all */
function label(tick, all) {
  const step = /** @type {number} */ (all[1]) - /** @type {number} */ (all[0]);
  return tick.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9))).replace("-", "−");
}

/** Numbers between the outer ticks to pixels. @param {number[]} all @param {number} from @param {number} to */
function scale(all, from, to) {
  const [low, high] = [/** @type {number} */ (all[0]), /** @type {number} */ (all.at(-1))];
  return (/** @type {number} */ value) => round(from + ((value - low) / (high - low)) * (to - from));
}

/** @param {number} value */
const round = (value) => Math.round(value * 10) / 10;

/** @param {string} path @param {string} color @param {number} width */
const stroke = (path, color, width, dashed = false) =>
  `<path d="${path}" fill="none" stroke="${color}" stroke-width="${width}" stroke-linejoin="round"${dashed ? ' stroke-dasharray="6 5"' : ""}/>`;

/** @param {number} x @param {number} y @param {string} content @param {string} attributes */
export const text = (x, y, content, attributes) =>
  `<text x="${round(x)}" y="${round(y)}" font-size="13" ${attributes}>${content.replace(/[<>&]/g, (c) => `&#${c.charCodeAt(0)};`)}</text>`.replace(
    /font-size="13" (?=font-size)/,
    "",
  );
