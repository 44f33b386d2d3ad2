/**
 * What a heatmap is made of, and how it is written.
 */

/** What is drawn: the weights (or any numbers) of `[queries, keys]`, or of more axes with {@link HeatmapOptions.index}. */
export interface HeatmapWeights {
  readonly data: ArrayLike<number>;
  readonly shape: readonly number[];
}

/** A cell to point at. */
export interface HeatmapMark {
  readonly row: number;
  readonly column: number;
}

/** How a heatmap is labelled. */
export interface HeatmapOptions {
  /** Which matrix, if there are leading axes: `[batch, head]` for weights of `[batch, heads, queries, keys]`. */
  readonly index?: readonly number[] | undefined;
  /** One per row, top down; rows beyond the last label (padding) are not drawn. Default: the row's number. */
  readonly rowLabels?: readonly string[] | undefined;
  /** One per column; columns beyond the last label (padding) are not drawn. Default: the column's number. */
  readonly columnLabels?: readonly string[] | undefined;
  /** Over the picture. */
  readonly title?: string | undefined;
  /** Under the title, smaller. */
  readonly subtitle?: string | undefined;
  /** What the rows are (`"query"`). */
  readonly rowTitle?: string | undefined;
  /** What the columns are (`"key"`). */
  readonly columnTitle?: string | undefined;
  /** The values at both ends of the colours. Default: from 0, or the smallest value below it, to the largest value. */
  readonly range?: readonly [low: number, high: number] | undefined;
  /** Cells to outline. */
  readonly marks?: readonly HeatmapMark[] | undefined;
}

/** How a heatmap is written to a terminal. */
export interface HeatmapTextOptions {
  /** What the terminal can show. `"none"` (default) writes characters only. */
  readonly color?: "truecolor" | "256" | "none" | undefined;
  /** The terminal's width in columns (80). Cells shrink to fit it; what does not fit then is left out and said. */
  readonly width?: number | undefined;
}
