import { describe, optionError } from "../errors.ts";
import { ansi256, colorAt, lightnessAt } from "./color.ts";
import { type Grid, refuseUnknown } from "./grid.ts";
import { columnsOf, fitted, graphemes, number, terminalWidth } from "./label.ts";
import type { HeatmapTextOptions } from "./options.ts";

const RESET = "\u001b[0m";
const SHADES = " ░▒▓█";
const MAX_LABEL = 20;
const MAX_LABEL_HEIGHT = 12;
const OPTIONS: ReadonlySet<string> = new Set<keyof HeatmapTextOptions>(["color", "width"]);

type Color = NonNullable<HeatmapTextOptions["color"]>;

/** How many columns a cell takes (3 with digits in it, 2 square, 1 narrow) and how many cells fit. */
interface Layout {
  labelWidth: number;
  cellWidth: 1 | 2 | 3;
  columns: number;
}

/** The heatmap as lines of text, coloured or in characters alone. */
export function renderText(grid: Grid, options: HeatmapTextOptions): string {
  refuseUnknown("heatmap.text", options, OPTIONS);
  const { color = "none", width = 80 } = options;
  if (color !== "none" && color !== "256" && color !== "truecolor") {
    throw optionError("heatmap.text", `color must be "truecolor", "256" or "none"`);
  }
  if (typeof width !== "number" || !(width >= 1)) {
    throw optionError("heatmap.text", `width must be at least 1, not ${describe(width)}`);
  }
  const layout = layOut(grid, width);
  const indent = " ".repeat(layout.labelWidth + 1);
  const lines = [grid.title, grid.subtitle].filter((line) => line !== "");
  if (lines.length > 0) lines.push("");
  const axes = [grid.columnTitle && `columns: ${grid.columnTitle}`, grid.rowTitle && `rows: ${grid.rowTitle}`];
  if (axes.some(Boolean)) lines.push(`${indent}${axes.filter(Boolean).join(", ")}`);
  for (const line of columnLabels(grid, layout)) lines.push(`${indent}${line}`);
  for (let row = 0; row < grid.rows; row++) {
    const label = fitted(grid.rowLabels[row]!, layout.labelWidth);
    const padding = " ".repeat(Math.max(0, layout.labelWidth - terminalWidth(label)));
    lines.push(`${padding}${label} ${rowCells(grid, layout, row, color)}`);
  }
  const missing = grid.columns - layout.columns;
  if (missing > 0) lines.push(`${indent}… and ${missing} more ${missing === 1 ? "column" : "columns"}`);
  lines.push(`${indent}${legend(grid, layout, color)}`);
  return `${lines.map((line) => line.trimEnd()).join("\n")}\n`;
}

function layOut(grid: Grid, width: number): Layout {
  const longest = grid.rowLabels.reduce((most, label) => Math.max(most, terminalWidth(label)), 0);
  const labelWidth = Math.min(longest, MAX_LABEL, Math.max(1, Math.floor(width / 3)));
  const room = Math.max(1, Math.floor(width) - labelWidth - 1);
  const widths = areWeights(grid) ? ([3, 2, 1] as const) : ([2, 1] as const);
  const cellWidth = widths.find((candidate) => candidate * grid.columns <= room) ?? 1;
  return { labelWidth, cellWidth, columns: Math.min(grid.columns, Math.floor(room / cellWidth)) };
}

/** Only values in [0, 1] are written as percentages. */
function areWeights({ low, high }: Grid): boolean {
  return low === 0 && high <= 1;
}

/** Written downwards, standing on the first row of cells. */
function columnLabels({ columnLabels }: Grid, { cellWidth, columns }: Layout): string[] {
  const labels = columnLabels.slice(0, columns).map((label) => {
    const letters = graphemes(label).filter((grapheme) => columnsOf(grapheme) > 0);
    return letters.length > MAX_LABEL_HEIGHT ? [...letters.slice(0, MAX_LABEL_HEIGHT - 1), "⋮"] : letters;
  });
  const height = labels.reduce((most, letters) => Math.max(most, letters.length), 0);
  return Array.from({ length: height }, (_, line) =>
    labels
      .map((letters) => {
        const letter = letters[letters.length - height + line] ?? " ";
        // A wide letter cannot stand in a narrow column.
        const shown = columnsOf(letter) > cellWidth ? "□" : letter;
        const free = cellWidth - columnsOf(shown);
        return `${" ".repeat(Math.ceil(free / 2))}${shown}${" ".repeat(Math.floor(free / 2))}`;
      })
      .join(""),
  );
}

function rowCells(grid: Grid, { cellWidth, columns }: Layout, row: number, color: Color): string {
  let line = "";
  for (let column = 0; column < columns; column++) {
    const value = grid.at(row, column);
    const share = grid.share(value);
    const digits = cellWidth === 3 ? percent(value) : "";
    const marked = grid.marks.some((mark) => mark.row === row && mark.column === column);
    const text = marked && cellWidth === 3 ? `>${digits.padStart(2)}`.slice(-3) : digits.padStart(cellWidth);
    if (color === "none") line += cellWidth === 3 ? text : shade(share).repeat(cellWidth);
    else if (Number.isNaN(share)) line += `${RESET}${"×".padStart(cellWidth)}`;
    else line += painted(share, digits === "·" ? text.replace("·", " ") : text, color, marked);
  }
  return color === "none" ? line : `${line}${RESET}`;
}

/** A value as whole percent; a dot for what rounds to none, a cross where there is no number. */
function percent(value: number): string {
  if (!Number.isFinite(value)) return "×";
  const rounded = Math.round(value * 100);
  return rounded === 0 ? "·" : String(rounded);
}

function shade(share: number): string {
  if (Number.isNaN(share)) return "×";
  return SHADES[Math.round(share * (SHADES.length - 1))]!;
}

/** Text on a coloured ground. The sequence runs from dark to light here: terminals are mostly dark. */
function painted(share: number, text: string, color: Color, marked = false): string {
  const turned = 1 - share;
  const [red, green, blue] = colorAt(turned);
  const ground = color === "256" ? `48;5;${ansi256([red, green, blue])}` : `48;2;${red};${green};${blue}`;
  const ink = lightnessAt(turned) < 0.62 ? "97" : "30";
  return `\u001b[${marked ? "1;4" : "22;24"};${ink};${ground}m${text}`;
}

function legend({ low, high }: Grid, { cellWidth }: Layout, color: Color): string {
  const ends = [number(low), number(high)] as const;
  if (color !== "none") {
    const bar = Array.from({ length: 16 }, (_, i) => painted(i / 15, " ", color)).join("");
    return `${ends[0]} ${bar}${RESET} ${ends[1]}`;
  }
  if (cellWidth === 3) return "in percent; · is less than half of one";
  return `${ends[0]} ${SHADES} ${ends[1]}`;
}
