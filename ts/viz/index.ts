/**
 * `saccade/viz`: attention weights as pictures, for a page, a paper or a terminal.
 *
 * @module
 */
export type { Heatmap, HeatmapMark, HeatmapOptions, HeatmapTextOptions, HeatmapWeights } from "./heatmap.ts";
export { heatmap } from "./heatmap.ts";
