/** A call of every function of `saccade/vision`, and one that is refused. Knows no test runner and no platform. */
import { counted } from "./cases.ts";

type Vision = typeof import("saccade/vision");

/** Its functions but for the asynchronous twins. */
export type VisionName = Exclude<keyof Vision, `${string}Async`>;

export interface VisionCase {
  readonly name: VisionName;
  /** Arguments made anew for each call. */
  readonly args: () => readonly [x: unknown, options: object];
}

const x = () => counted(2, 3, 9, 8);
const bottleneck = () => ({ w1: counted(2, 3), b1: counted(2), w2: counted(3, 2), b2: counted(3) });
const conv = () => counted(1, 2, 3, 5);

export const visionCases: readonly VisionCase[] = [
  { name: "channelAttention", args: () => [x(), bottleneck()] },
  { name: "squeezeExcite", args: () => [x(), bottleneck()] },
  { name: "spatialAttention", args: () => [x(), { conv: conv(), bias: counted(1), order: "max-mean" }] },
  { name: "cbam", args: () => [x(), { ...bottleneck(), conv: conv(), returnWeights: true }] },
  { name: "eca", args: () => [x(), { w: counted(3) }] },
  { name: "elementwiseAttention", args: () => [x(), { w: counted(3, 3, 3, 3), bias: counted(3) }] },
  { name: "spatialSoftmaxAttention", args: () => [x(), { w: counted(1, 3, 3, 3), temperature: 2, returnMap: true }] },
  { name: "channelSoftmaxAttention", args: () => [x(), { w: counted(3, 3), bias: counted(3), returnMap: true }] },
  // Refused, each in its own way.
  { name: "cbam", args: () => [x(), bottleneck()] },
  { name: "eca", args: () => [x(), { w: counted(2) }] },
  { name: "eca", args: () => [counted(3), { w: counted(3) }] },
  { name: "eca", args: () => [x(), { w: counted(3), weights: true }] },
  { name: "eca", args: () => [x(), { w: { data: new Float32Array([0, Number.NaN, 1]), shape: [3] } }] },
];
