/**
 * Rotary positions of a cache: keys are turned when they are appended, queries when they attend, each by its absolute position.
 */

import { SaccadeTypeError } from "../errors.ts";
import type { Layout } from "../layout/axes.ts";
import { optionNames, readOptions } from "../layout/options.ts";
import { snapshot } from "../layout/shape.ts";
import { proveTurn, type RotaryTurn, runRotary } from "../rotary.ts";
import type { AxisOrder } from "../wasm/call.ts";
import type { Session, Slot } from "../wasm/operator.ts";
import type { TensorView } from "../wasm/view.ts";

/** Rotary positions, proved. */
export interface CacheRope {
  readonly turn: RotaryTurn;
  /** The options as JSON: what {@link resolveRope} takes, and what is stored. */
  readonly text: string;
}

const KNOWN = ["base", "style", "rotaryDim", "scaling", "seqLen"] as const;

/** Longer lists than any head has pairs of columns. */
const LONGEST_LIST = 1 << 16;

/** Reads and proves the option. */
export function resolveRope(value: unknown, headDim: number, caller: string): CacheRope {
  const about = `${caller}: options.rope`;
  const read = readOptions(value, KNOWN, about);
  if (read.scaling !== undefined) read.scaling = plainScaling(read.scaling, about);
  const turn = proveTurn(read, headDim, about);
  const { type } = (read.scaling ?? {}) as { type?: unknown };
  if ((type === "dynamic" || type === "longrope") && turn.seqLen === 0) {
    throw new SaccadeTypeError(
      "ERR_SACCADE_OPTION",
      `${about}.scaling.type is ${JSON.stringify(type)}, which depends on the length of the sequence: give options.rope.seqLen, ` +
        "since keys that are kept cannot be turned anew for each length",
    );
  }
  return { turn, text: JSON.stringify(read) };
}

/** A scaling whose properties have been read once, its lists too. */
function plainScaling(scaling: unknown, about: string): Record<string, unknown> {
  const plain: Record<string, unknown> = {};
  for (const name of optionNames(scaling, about)) {
    const value = (scaling as Record<string, unknown>)[name];
    const isList = typeof value === "object" && value !== null;
    plain[name] = isList ? snapshot(value, LONGEST_LIST, about, name, "one number per pair of columns") : value;
  }
  return plain;
}

/** Turns the rows of a tensor, row i of batch row b at position `starts[b] + i`; the result is float32, row-major. */
export function turned(
  session: Session,
  { turn }: CacheRope,
  x: TensorView,
  axes: AxisOrder,
  layout: Layout,
  starts: readonly number[],
): Slot {
  const sizeOf = (axis: number): number => (axis < 0 ? 1 : x.shape[axis]!);
  const [batch, seq] = [sizeOf(axes.batch), sizeOf(axes.seq)];
  const out = session.temporary(x.shape);
  if (x.elements === 0) return out;
  const positions = new Int32Array(batch * seq);
  for (let b = 0; b < batch; b++) for (let i = 0; i < seq; i++) positions[b * seq + i] = starts[b]! + i;
  runRotary(session, {
    turn,
    sizes: [batch, seq, sizeOf(axes.head), x.shape[x.shape.length - 1]!],
    layout,
    kind: 2,
    positions,
    x: session.input(x),
    out,
  });
  return out;
}
