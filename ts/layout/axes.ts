/**
 * Which axis of a tensor means what, per layout and rank.
 */

import { shapeError } from "../errors.ts";
import type { AxisOrder } from "../wasm/call.ts";

export const LAYOUTS = ["bshd", "bhsd"] as const;

/** Order of the axes. */
export type Layout = (typeof LAYOUTS)[number];

/** The index into the list is the rank. */
const AXES: Readonly<Record<Layout, readonly (AxisOrder | undefined)[]>> = {
  bshd: [
    undefined,
    undefined,
    { batch: -1, seq: 0, head: -1 },
    { batch: -1, seq: 0, head: 1 },
    { batch: 0, seq: 1, head: 2 },
  ],
  bhsd: [
    undefined,
    undefined,
    { batch: -1, seq: 0, head: -1 },
    { batch: -1, seq: 1, head: 0 },
    { batch: 0, seq: 2, head: 1 },
  ],
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
  throw shapeError(
    caller,
    `${name}.shape has ${shape.length} axes; expected 4 (${full}), 3 (without batch) or 2 ` +
      "([seq, headDim], one head)",
  );
}
