/**
 * Which axis of a tensor means what, per layout and rank.
 */

import { shapeError } from "../errors.ts";
import type { AxisOrder } from "../wasm/call.ts";

export const LAYOUTS = ["bshd", "bhsd"] as const;

/** Order of the axes. */
export type Layout = (typeof LAYOUTS)[number];

/** By rank. */
const order = (batch: number, seq: number, head: number): AxisOrder => ({ batch, seq, head });
const AXES: Readonly<Record<Layout, Readonly<Record<number, AxisOrder>>>> = {
  bshd: { 2: order(-1, 0, -1), 3: order(-1, 0, 1), 4: order(0, 1, 2) },
  bhsd: { 2: order(-1, 0, -1), 3: order(-1, 1, 0), 4: order(0, 2, 1) },
};

/**
 * Where the axes of a query, or another tensor of heads, of this shape are.
 *
 * @throws RangeError `ERR_SACCADE_SHAPE` for a rank that no layout has
 */
export function axesOf(shape: readonly number[], layout: Layout, caller: string, name = "query"): AxisOrder {
  const axes = AXES[layout][shape.length];
  if (axes !== undefined) return axes;
  const full = layout === "bshd" ? "[batch, seq, heads, headDim]" : "[batch, heads, seq, headDim]";
  const expected = `4 (${full}), 3 (without batch) or 2 ([seq, headDim], one head)`;
  throw shapeError(caller, `${name}.shape has ${shape.length} axes; expected ${expected}`);
}
