/**
 * Operators over feature maps `[batch, channels, places]` inside a session: a place is a pixel, or a number of a frame whose
 * moments are the channels.
 */

import type { Session, Slot } from "./operator.ts";

/** Sizes of a feature map. */
export interface MapSizes {
  readonly batch: number;
  readonly channels: number;
  readonly places: number;
}

/** Along or over which axis an operator works, by the wasm's numbers. */
const AXES = { places: 0, channels: 1 } as const;
/** What of a row is kept, by the wasm's numbers. */
const PARTS = { average: 0, maximum: 1, "average-maximum": 2, "maximum-average": 3 } as const;
/** What a gate is one number for, by the wasm's numbers. */
const GATED = { channels: 0, places: 1, elements: 2 } as const;

const EIGHT_ONES: readonly number[] = new Array<number>(8).fill(1);

function sizesOf({ batch, channels, places }: MapSizes): number[] {
  return [batch, channels, places];
}

/** The average, the maximum or both of what lies along an axis: `[batch, parts, what is kept]`. */
export function averageMaximum(
  session: Session,
  x: Slot,
  sizes: MapSizes,
  along: keyof typeof AXES,
  parts: keyof typeof PARTS,
): Slot {
  const { batch, channels, places } = sizes;
  const out = session.temporary([batch, PARTS[parts] < 2 ? 1 : 2, along === "places" ? channels : places]);
  const integers = [...sizesOf(sizes), AXES[along], PARTS[parts]];
  session.run("averageMaximum", { integers, inputs: [x], outputs: [out] });
  return out;
}

/** A convolution of a plane, with nothing round it: `[batch, out, height, width]`. */
export function convolution(
  session: Session,
  x: Slot,
  [batch, inner, height, width]: readonly [number, number, number, number],
  weight: Slot,
  [outer, kernelHeight, kernelWidth]: readonly [number, number, number],
  bias: Slot | undefined,
): Slot {
  const out = session.temporary([batch, outer, height, width]);
  const integers = [batch, inner, height, width, outer, kernelHeight, kernelWidth];
  session.run("convolution", { integers, inputs: [x, weight, bias], outputs: [out] });
  return out;
}

/** The gate of scores `[batch, parts, ...]`, whose parts are added: their sigmoid, or (`"as-is"`) themselves; and x times it. */
export function gate(
  session: Session,
  x: Slot | undefined,
  sizes: MapSizes,
  scores: Slot,
  { parts = 1, per, by }: { parts?: number; per: keyof typeof GATED; by: "sigmoid" | "as-is" },
  { gates, out }: { gates: Slot; out: Slot | undefined },
): void {
  const integers = [...sizesOf(sizes), parts, GATED[per], by === "sigmoid" ? 1 : 0];
  session.run("gate", { integers, inputs: [x, scores], outputs: [gates, out] });
}

/** The sum of x over an axis, weighted, and the weighted deviation where it is wanted. */
export function weightedSum(
  session: Session,
  x: Slot,
  sizes: MapSizes,
  weights: Slot,
  over: keyof typeof AXES,
  { out, deviation, floor = 0 }: { out: Slot; deviation?: Slot | undefined; floor?: number },
): void {
  const call = { integers: [...sizesOf(sizes), AXES[over]], floats: [floor] };
  session.run("weightedSum", { ...call, inputs: [x, weights], outputs: [out, deviation] });
}

/** Softmax of every row of scores `[rows, length]`; with lengths, one per row, what lies behind has weight 0. */
export function softmaxRows(
  session: Session,
  scores: Slot,
  [rows, length]: readonly [number, number],
  { temperature = 1, lengths }: { temperature?: number; lengths?: Slot | undefined },
  out: Slot,
): void {
  const last = (a: number, b: number): number[] => [...EIGHT_ONES.slice(2), a, b];
  session.run("softmax", {
    integers: [0, 7, ...last(rows, length), ...EIGHT_ONES, ...last(lengths === undefined ? 1 : rows, 1)],
    floats: [temperature],
    inputs: [scores, undefined, lengths],
    outputs: [out],
  });
}
