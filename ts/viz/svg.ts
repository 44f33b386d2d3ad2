import { colorAt, hex, lightnessAt } from "./color.ts";
import type { Grid } from "./grid.ts";
import { ems, number } from "./label.ts";

const INK = "#1d2433";
const QUIET = "#5b6475";
const MARK = "#e8590c";
const NO_VALUE = "#d9d9de";
const FONT =
  "system-ui, 'Segoe UI', Roboto, 'Noto Sans', Arial, 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif";
const MARGIN = 20;
/** Below this share of the range a cell is the background's colour anyway. */
const FAINT = 1 / 512;

/** Where everything stands, in pixels. */
interface Layout {
  cell: number;
  fontSize: number;
  /** Degrees that column labels are turned. */
  turn: 0 | 45 | 90;
  left: number;
  top: number;
  width: number;
  height: number;
  valuesShown: boolean;
  legend: { x: number; height: number };
}

/** The heatmap as an SVG document. */
export function renderSvg(grid: Grid): string {
  const layout = layOut(grid);
  const { width, height, left, top, cell } = layout;
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" role="img" width="${width}" height="${height}" ` +
      `viewBox="0 0 ${width} ${height}" font-family="${FONT}" font-size="${layout.fontSize}" fill="${INK}">`,
    `<title>${escaped(grid.title || "Attention weights")}</title>`,
    `<desc>${escaped(description(grid))}</desc>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...headings(grid, layout),
    ...rowLabels(grid, layout),
    ...columnLabels(grid, layout),
    `<rect x="${left}" y="${top}" width="${grid.columns * cell}" height="${grid.rows * cell}" fill="${hex(colorAt(0))}"/>`,
    ...cells(grid, layout),
    ...marks(grid, layout),
    ...legend(grid, layout),
    "</svg>",
  ];
  return `${lines.join("\n")}\n`;
}

export function escaped(text: string): string {
  return text.replace(/[<>&"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function layOut(grid: Grid): Layout {
  const { rows, columns } = grid;
  const most = Math.max(rows, columns);
  const cell = most <= 16 ? 36 : most <= 48 ? 20 : 11;
  const fontSize = cell >= 36 ? 13 : cell >= 20 ? 12 : 9;
  const widest = (labels: readonly string[]) =>
    labels.reduce((most, label) => Math.max(most, ems(label)), 0) * fontSize;
  const columnWidth = widest(grid.columnLabels);
  const turn = columnWidth <= cell - 4 ? 0 : cell >= 20 ? 45 : 90;
  const labelHeight = turn === 0 ? fontSize : turn === 90 ? columnWidth : (columnWidth + fontSize) * Math.SQRT1_2;
  const headingHeight = (grid.title ? 26 : 0) + (grid.subtitle ? 20 : 0);
  const left = Math.ceil(MARGIN + (grid.rowTitle ? 22 : 0) + widest(grid.rowLabels) + 8);
  const top = Math.ceil(MARGIN + headingHeight + (grid.columnTitle ? 22 : 0) + labelHeight + 10);
  // Turned labels lean out over the right edge: the legend stands clear of it.
  const lean = turn === 45 ? Math.max(0, columnWidth * Math.SQRT1_2 - cell / 2) : 0;
  const legendX = left + columns * cell + 24;
  const legendHeight = Math.min(160, Math.max(80, rows * cell));
  const legendWidth = 14 + 8 + Math.max(ems(number(grid.low)), ems(number(grid.high)), 2.5) * 12;
  const heading = Math.max(ems(grid.title) * 17 * 1.05, ems(grid.subtitle) * 13);
  const right = Math.max(legendX + legendWidth, left + columns * cell + lean, MARGIN + heading);
  return {
    cell,
    fontSize,
    turn,
    left,
    top,
    width: Math.ceil(right + MARGIN),
    height: Math.ceil(top + Math.max(rows * cell, legendHeight) + MARGIN),
    valuesShown: cell >= 36,
    legend: { x: legendX, height: legendHeight },
  };
}

function description(grid: Grid): string {
  const { rows, columns } = grid;
  const size = `${rows} rows (${grid.rowTitle}) by ${columns} columns (${grid.columnTitle}).`;
  let best: { row: number; column: number; value: number } | undefined;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const value = grid.at(row, column);
      if (Number.isFinite(value) && (best === undefined || value > best.value)) best = { row, column, value };
    }
  }
  if (best === undefined) return size;
  const pair = `${grid.rowLabels[best.row]} to ${grid.columnLabels[best.column]}`;
  return `${size} The largest value is ${number(best.value)}, from ${pair}.`;
}

function headings(grid: Grid, { left, top, cell }: Layout): string[] {
  const lines: string[] = [];
  let y = MARGIN;
  if (grid.title) {
    lines.push(`<text x="${MARGIN}" y="${y + 14}" font-size="17" font-weight="600">${escaped(grid.title)}</text>`);
    y += 26;
  }
  if (grid.subtitle) {
    lines.push(`<text x="${MARGIN}" y="${y + 11}" font-size="13" fill="${QUIET}">${escaped(grid.subtitle)}</text>`);
    y += 20;
  }
  const axis = `font-size="12" fill="${QUIET}" text-anchor="middle"`;
  if (grid.columnTitle) {
    const x = round(left + (grid.columns * cell) / 2);
    lines.push(`<text x="${x}" y="${y + 14}" ${axis}>${escaped(grid.columnTitle)}</text>`);
  }
  if (grid.rowTitle) {
    const [x, middle] = [MARGIN + 10, round(top + (grid.rows * cell) / 2)];
    lines.push(`<text transform="translate(${x} ${middle}) rotate(-90)" ${axis}>${escaped(grid.rowTitle)}</text>`);
  }
  return lines;
}

function rowLabels({ rowLabels }: Grid, { left, top, cell, fontSize }: Layout): string[] {
  const texts = rowLabels.map((label, row) => {
    const y = round(top + (row + 0.5) * cell + fontSize * 0.36);
    return `<text x="${left - 8}" y="${y}">${escaped(label)}</text>`;
  });
  return ['<g text-anchor="end">', ...texts, "</g>"];
}

function columnLabels({ columnLabels }: Grid, { left, top, cell, turn, fontSize }: Layout): string[] {
  const texts = columnLabels.map((label, column) => {
    const middle = left + (column + 0.5) * cell;
    if (turn === 0) return `<text x="${round(middle)}" y="${top - 8}" text-anchor="middle">${escaped(label)}</text>`;
    // The foot of the label's middle line stands over the middle of its column.
    const x = round(middle + (turn === 90 ? fontSize * 0.36 : fontSize * 0.25));
    return `<text transform="translate(${x} ${top - 7}) rotate(-${turn})">${escaped(label)}</text>`;
  });
  return ["<g>", ...texts, "</g>"];
}

function cells(grid: Grid, layout: Layout): string[] {
  const { left, top, cell, valuesShown } = layout;
  const gap = cell >= 20 ? 1 : 0;
  const size = cell - gap;
  const lines: string[] = [];
  const values: string[] = [];
  for (let row = 0; row < grid.rows; row++) {
    const y = top + row * cell;
    for (let column = 0; column < grid.columns; column++) {
      const value = grid.at(row, column);
      const share = grid.share(value);
      if (share < FAINT) continue;
      const x = left + column * cell;
      const color = Number.isNaN(share) ? NO_VALUE : hex(colorAt(share));
      const name = `${grid.rowLabels[row]} → ${grid.columnLabels[column]}: ${number(value)}`;
      lines.push(
        `<rect x="${x}" y="${y}" width="${size}" height="${size}" fill="${color}"><title>${escaped(name)}</title></rect>`,
      );
      const text = valuesShown ? short(value) : "";
      if (text !== "") {
        const ink = lightnessAt(share) < 0.66 ? "#fff" : INK;
        const [middle, baseline] = [x + size / 2, y + size / 2 + 4];
        values.push(`<text x="${middle}" y="${baseline}" fill="${ink}">${text}</text>`);
      }
    }
  }
  const drawn = ['<g shape-rendering="crispEdges">', ...lines, "</g>"];
  // Values do not catch the pointer: the cell under them has the tooltip.
  if (values.length > 0) drawn.push('<g font-size="11" text-anchor="middle" pointer-events="none">', ...values, "</g>");
  return drawn;
}

/** A value in the room of a cell: .66, 1.0, 12; nothing where two digits would all be zero. */
function short(value: number): string {
  if (!Number.isFinite(value)) return "";
  const size = Math.abs(value);
  if (size < 0.005) return "";
  if (size < 0.995) return value.toFixed(2).replace("0.", ".");
  return size < 9.95 ? value.toFixed(1) : size < 9999.5 ? value.toFixed(0) : "";
}

function marks({ marks }: Grid, { left, top, cell }: Layout): string[] {
  return marks.map(({ row, column }) => {
    const [x, y, size] = [left + column * cell - 0.5, top + row * cell - 0.5, cell];
    return `<rect x="${x}" y="${y}" width="${size}" height="${size}" rx="2" fill="none" stroke="${MARK}" stroke-width="2.5"/>`;
  });
}

const LEGEND_STEPS = 40;

function legend({ low, high }: Grid, { top, legend: { x, height } }: Layout): string[] {
  const step = height / LEGEND_STEPS;
  const bars = Array.from({ length: LEGEND_STEPS }, (_, i) => {
    const color = hex(colorAt(1 - (i + 0.5) / LEGEND_STEPS));
    // Each bar reaches under the next one, so that no seam shows between them.
    return `<rect x="${x}" y="${round(top + i * step)}" width="14" height="${round(step + (i < LEGEND_STEPS - 1 ? 0.6 : 0))}" fill="${color}"/>`;
  });
  const labels = [high, (low + high) / 2, low].map((value, i) => {
    const y = round(top + (height * i) / 2 + [9, 4, 0][i]!);
    return `<text x="${x + 22}" y="${y}" font-size="12" fill="${QUIET}">${number(value)}</text>`;
  });
  const frame = `<rect x="${x}" y="${top}" width="14" height="${height}" fill="none" stroke="#c3c7d0"/>`;
  return ['<g aria-hidden="true">', ...bars, frame, ...labels, "</g>"];
}
