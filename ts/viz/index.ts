/**
 * `saccade/viz`: attention weights as pictures, for a page, a paper or a terminal.
 *
 * @module
 */
export { type Heatmap, heatmap } from "./heatmap.ts";
export type { HeatmapMark, HeatmapOptions, HeatmapTextOptions, HeatmapWeights } from "./options.ts";
