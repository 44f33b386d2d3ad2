import {
  argumentError,
  describe,
  optionError,
  rangeError,
  SaccadeRangeError,
  SaccadeTypeError,
  shapeError,
} from "../errors.ts";
import { plain } from "./label.ts";
import type { HeatmapMark, HeatmapOptions, HeatmapWeights } from "./options.ts";

/** A heatmap with every default filled in and every index proved: what the writers of SVG and text read. */
export interface Grid {
  readonly rows: number;
  readonly columns: number;
  /** The value of a cell. */
  at(row: number, column: number): number;
  /** Where a value lies between the ends of the range, in [0, 1]; NaN for one that has no place (NaN, -Infinity). */
  share(value: number): number;
  readonly rowLabels: readonly string[];
  readonly columnLabels: readonly string[];
  readonly title: string;
  readonly subtitle: string;
  readonly rowTitle: string;
  readonly columnTitle: string;
  readonly low: number;
  readonly high: number;
  readonly marks: readonly HeatmapMark[];
}

const OPTIONS: ReadonlySet<string> = new Set<keyof HeatmapOptions>([
  "index",
  "rowLabels",
  "columnLabels",
  "title",
  "subtitle",
  "rowTitle",
  "columnTitle",
  "range",
  "marks",
]);

export function resolveGrid(weights: HeatmapWeights, options: HeatmapOptions): Grid {
  refuseUnknown("heatmap", options, OPTIONS);
  const { rows: allRows, columns: allColumns, offset, data } = matrixOf(weights, options.index ?? []);
  const rowLabels = labelsOf("rowLabels", options.rowLabels, allRows);
  const columnLabels = labelsOf("columnLabels", options.columnLabels, allColumns);
  const rows = rowLabels.length;
  const columns = columnLabels.length;
  const at = (row: number, column: number) => data[offset + row * allColumns + column] as number;
  const [low, high] = rangeOf(options.range, rows, columns, at);
  const share = (value: number) => {
    if (Number.isNaN(value) || value === Number.NEGATIVE_INFINITY) return Number.NaN;
    return high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0;
  };
  const text = (name: "title" | "subtitle" | "rowTitle" | "columnTitle", fallback: string) => {
    const value = options[name] ?? fallback;
    if (typeof value !== "string") throw wrongOption(`${name} must be text, not ${describe(value)}`);
    return plain(value);
  };
  return {
    rows,
    columns,
    at,
    share,
    rowLabels,
    columnLabels,
    title: text("title", ""),
    subtitle: text("subtitle", ""),
    rowTitle: text("rowTitle", "query"),
    columnTitle: text("columnTitle", "key"),
    low,
    high,
    marks: marksOf(options.marks ?? [], rows, columns),
  };
}

export function refuseUnknown(name: string, options: unknown, known: ReadonlySet<string>): void {
  if (typeof options !== "object" || options === null) {
    throw argumentError(name, `options must be an object, not ${describe(options)}`);
  }
  const unknown = Object.keys(options).find((key) => !known.has(key));
  if (unknown !== undefined) {
    const message = `${name}: unknown option ${describe(unknown)}; there are ${[...known].join(", ")}`;
    throw new SaccadeTypeError("ERR_SACCADE_OPTION", message);
  }
}

function wrongOption(message: string): SaccadeTypeError {
  return optionError("heatmap", message);
}

function wrongShape(message: string): SaccadeRangeError {
  return shapeError("heatmap", message);
}

function isIndex(value: unknown, length: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value < length;
}

/** The last two axes are drawn; `index` says where on the axes before them. */
function matrixOf(weights: HeatmapWeights, index: readonly number[]) {
  const { data, shape, dtype } = (weights ?? {}) as HeatmapWeights & { dtype?: unknown };
  if (data === null || typeof data !== "object" || !Array.isArray(shape)) {
    throw argumentError("heatmap", "weights must be an object with data and shape");
  }
  if (dtype === "float16" || dtype === "bfloat16") {
    if (data instanceof Uint16Array) {
      const message = `heatmap: weights are raw ${dtype} bits; convert them to float32 first`;
      throw new SaccadeTypeError("ERR_SACCADE_DTYPE", message);
    }
  }
  if (!shape.every((extent) => isIndex(extent, Number.POSITIVE_INFINITY))) {
    throw wrongShape("weights.shape must be whole numbers");
  }
  const count = shape.reduce((product, extent) => product * extent, 1);
  if (data.length !== count)
    throw wrongShape(`weights.data has ${data.length} elements, shape [${shape}] has ${count}`);
  const leading = shape.slice(0, -2);
  const [rows, columns] = shape.slice(-2);
  if (rows === undefined || columns === undefined || leading.length !== index.length) {
    const message = `weights have shape [${shape}], index [${index}] must name ${Math.max(0, leading.length)} leading axes`;
    throw wrongShape(shape.length < 2 ? `weights have rank ${shape.length}, at least 2 is needed` : message);
  }
  let matrix = 0;
  for (const [axis, extent] of leading.entries()) {
    const at = index[axis];
    if (!isIndex(at, extent)) {
      const message = `heatmap: index[${axis}] is ${describe(at)}, weights.shape[${axis}] is ${extent}`;
      throw new SaccadeRangeError("ERR_SACCADE_RANGE", message);
    }
    matrix = matrix * extent + at;
  }
  return { rows, columns, data, offset: matrix * rows * columns };
}

function labelsOf(name: string, labels: readonly string[] | undefined, extent: number): readonly string[] {
  if (labels === undefined) return Array.from({ length: extent }, (_, i) => String(i));
  if (!Array.isArray(labels) || !labels.every((label) => typeof label === "string")) {
    throw wrongOption(`${name} must be an array of text`);
  }
  if (labels.length > extent) throw wrongShape(`${name} has ${labels.length} labels for ${extent} cells`);
  return labels.map(plain);
}

function rangeOf(
  range: HeatmapOptions["range"],
  rows: number,
  columns: number,
  at: Grid["at"],
): readonly [number, number] {
  if (range !== undefined) {
    const [low, high] = Array.isArray(range) ? (range as [number, number]) : [Number.NaN, Number.NaN];
    if (!Number.isFinite(low) || !Number.isFinite(high) || low >= high) {
      throw wrongOption("range must be two finite numbers, the lower one first");
    }
    return [low, high];
  }
  let low = 0;
  let high = Number.NEGATIVE_INFINITY;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const value = at(row, column);
      if (!Number.isFinite(value)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  return [low, high > low ? high : low + 1];
}

function marksOf(marks: readonly HeatmapMark[], rows: number, columns: number): readonly HeatmapMark[] {
  if (!Array.isArray(marks)) throw wrongOption("marks must be an array of { row, column }");
  return marks.map((mark) => {
    if (!isIndex(mark?.row, rows) || !isIndex(mark?.column, columns)) {
      throw rangeError("heatmap", `a mark lies outside the ${rows} x ${columns} cells`);
    }
    return { row: mark.row, column: mark.column };
  });
}
