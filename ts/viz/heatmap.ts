import { resolveGrid } from "./grid.ts";
import type { HeatmapOptions, HeatmapTextOptions, HeatmapWeights } from "./options.ts";
import { renderSvg } from "./svg.ts";
import { renderText } from "./terminal.ts";

/** A heatmap, ready to be written in any form. */
export interface Heatmap {
  /** A whole SVG document with an accessible name and description. Has no ids, so many can stand in one page. */
  svg(): string;
  /** Lines of text for a terminal, the last one ended too. */
  text(options?: HeatmapTextOptions): string;
}

/**
 * A labelled picture of who attends to whom: a row per query, a column per key, the darker the more.
 *
 * @example
 * ```ts
 * const { weights } = attention(query, key, value, { returnWeights: true });
 * const picture = heatmap(weights, { index: [0, 11], rowLabels: tokens, columnLabels: tokens });
 * await writeFile("head-11.svg", picture.svg());
 * process.stdout.write(picture.text({ color: "truecolor", width: process.stdout.columns }));
 * ```
 */
export function heatmap(weights: HeatmapWeights, options: HeatmapOptions = {}): Heatmap {
  const grid = resolveGrid(weights, options);
  return {
    svg: () => renderSvg(grid),
    text: (textOptions = {}) => renderText(grid, textOptions),
  };
}
