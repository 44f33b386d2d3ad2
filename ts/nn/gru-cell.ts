/**
 * The cell of a gated recurrent unit: its weights by PyTorch's names, and its way through time.
 */

import { shapeError } from "../errors.ts";
import { type CapturedTensor, captureTensor } from "../layout/tensor-like.ts";
import { runLinear } from "../linear.ts";
import { proveVector } from "../projected-attention.ts";
import type { Session, Slot } from "../wasm/operator.ts";
import { recordingOf } from "../wasm/recording.ts";
import { sliceView, type TensorView } from "../wasm/view.ts";
import type { Held } from "./held.ts";
import type { LayerWeights } from "./state-dict.ts";

/** Weights of one direction of one layer; the gates r, z, n lie one behind the other in the first axis. */
export interface CellWeights<T> {
  /** `[3 * hidden, in]`. */
  readonly ih: T;
  /** `[3 * hidden, hidden]`. */
  readonly hh: T;
  readonly biasIh: T | undefined;
  readonly biasHh: T | undefined;
}

/** Reads the weights of a cell by PyTorch's names, which end in `suffix`, and proves their shapes. */
export function captureCell(
  weights: LayerWeights,
  suffix: string,
  inputSize: number | undefined,
  hiddenSize: number | undefined,
  caller: string,
): CellWeights<CapturedTensor> {
  const capture = (name: string): CapturedTensor =>
    captureTensor(weights.required(name + suffix), caller, weights.nameOf(name + suffix));
  const maybe = (name: string): CapturedTensor | undefined => (weights.has(name + suffix) ? capture(name) : undefined);
  const ih = capture("weight_ih");
  const hh = capture("weight_hh");
  const hidden = hiddenSize ?? hh.shape[1];
  const matrix = ({ name, shape }: CapturedTensor, inner: number | undefined, what: string): void => {
    if (shape.length === 2 && hidden !== undefined && hidden > 0 && shape[0] === 3 * hidden && shape[1] === inner)
      return;
    const expected = hidden === undefined ? what : `[${3 * hidden}, ${inner}] (${what})`;
    throw shapeError(caller, `${name}.shape is [${shape.join(", ")}]; expected ${expected}`);
  };
  matrix(hh, hidden, "3 * hidden, hidden");
  const inner = inputSize ?? ih.shape[1];
  if (inner === 0) throw shapeError(caller, `${ih.name}.shape[1] is 0; expected at least 1`);
  matrix(ih, inner, "3 * hidden, in");
  const cell = { ih, hh, biasIh: maybe("bias_ih"), biasHh: maybe("bias_hh") };
  proveVector(`${weights.nameOf("bias_ih")}${suffix}`, cell.biasIh, 3 * hidden!, caller);
  proveVector(`${weights.nameOf("bias_hh")}${suffix}`, cell.biasHh, 3 * hidden!, caller);
  return cell;
}

/** Holds the weights of a cell. */
export function holdCell(held: Held, { ih, hh, biasIh, biasHh }: CellWeights<CapturedTensor>): CellWeights<TensorView> {
  return {
    ih: held.hold(ih),
    hh: held.hold(hh),
    biasIh: biasIh && held.hold(biasIh),
    biasHh: biasHh && held.hold(biasHh),
  };
}

/** Where a cell stands among directions and states, and its sizes. */
interface CellPlace {
  readonly batch: number;
  readonly time: number;
  readonly direction: number;
  readonly directions: number;
  readonly state: number;
  readonly states: number;
}

/** What a cell reads and writes. */
interface CellSlots {
  /** `[batch, time, in]`. */
  readonly x: Slot;
  /** `[batch, time, 3 * hidden]`: room for the projections. */
  readonly projections: Slot;
  /** `[states, batch, hidden]`. */
  readonly h0: Slot | undefined;
  /** One per batch row. */
  readonly lengths: Int32Array | undefined;
  /** `[batch, time, directions * hidden]`. */
  readonly output: Slot | undefined;
  /** `[states, batch, hidden]`. */
  readonly hn: Slot;
}

/** Multiply-adds that are run at a stretch where a call is sliced: a few milliseconds. */
const STRETCH_WORK = 2 ** 24;
/** What sigmoid and tanh of a hidden unit's gates cost, in multiply-adds. */
const GATES_WORK = 256;
/** Batch rows that are taken through time together. */
const TILE_ROWS = 32;

/** Runs one direction of one layer inside a session. */
export function runCell(session: Session, cell: CellWeights<TensorView>, place: CellPlace, slots: CellSlots): void {
  const { batch, time, direction, directions, state, states } = place;
  if (batch === 0) return;
  const hidden = cell.hh.shape[1]!;
  const work = Math.min(batch, TILE_ROWS) * (3 * hidden * hidden + GATES_WORK * hidden);
  const stretch = Math.max(1, Math.floor(STRETCH_WORK / work));
  if (stretch < time && recordingOf(session.instance) !== undefined) {
    runStretches(session, cell, place, slots, stretch);
    return;
  }
  const { x, projections, h0, lengths, output, hn } = slots;
  runSteps(session, cell, [batch, time, hidden, direction, directions, direction, states, state], {
    ...{ x, projections, h0, output, hn },
    lengths: lengths && session.list(lengths),
  });
}

function runSteps(
  session: Session,
  { ih, hh, biasIh, biasHh }: CellWeights<TensorView>,
  integers: readonly number[],
  { x, projections, h0, lengths, output, hn }: Omit<CellSlots, "lengths"> & { readonly lengths: Slot | undefined },
): void {
  runLinear(session, { x, weight: session.input(ih), bias: biasIh && session.input(biasIh) }, projections);
  session.run("gru", {
    integers,
    inputs: [projections, session.input(hh), biasHh && session.input(biasHh), h0, lengths],
    outputs: [output, hn],
  });
}

/**
 * The same, some steps at a time: a step needs the one before it, so that no tile could be smaller than all of them. Each stretch
 * begins with the states that the one before it left.
 */
function runStretches(
  session: Session,
  cell: CellWeights<TensorView>,
  { batch, time, direction, directions, state, states }: CellPlace,
  { x, projections, h0, lengths, output, hn }: CellSlots,
  stretch: number,
): void {
  const hidden = cell.hh.shape[1]!;
  const rows = session.reshape(x, [batch, time, x.elements / (batch * time)]);
  const outputs = output && session.reshape(output, [batch, time, directions * hidden]);
  const part = output && session.temporary([batch, stretch, hidden]);
  const [odd, even] = [session.temporary([1, batch, hidden]), session.temporary([1, batch, hidden])];
  const ownState = (of: Slot): Slot =>
    session.raw(sliceView(session.reshape(of, [states, batch, hidden]), [state, 0, 0], [1, batch, hidden]));
  const last = ownState(hn);
  let before = h0 && ownState(h0);
  const count = Math.ceil(time / stretch);
  for (let index = 0; index < count; index++) {
    const from = stretch * (direction === 0 ? index : count - 1 - index);
    const steps = Math.min(stretch, time - from);
    const after = index + 1 === count ? last : index % 2 === 0 ? even : odd;
    const own = part && session.reshape(part, [batch, steps, hidden]);
    runSteps(session, cell, [batch, steps, hidden, direction, 1, 0, 1, 0], {
      x: session.raw(sliceView(rows, [0, from, 0], [batch, steps, rows.shape[2]!])),
      projections: session.reshape(projections, [batch, steps, 3 * hidden]),
      h0: before,
      lengths: lengths && session.list(lengths.map((length) => Math.min(Math.max(length - from, 0), steps))),
      output: own,
      hn: after,
    });
    if (own && outputs) {
      session.copy(own, sliceView(outputs, [0, from, direction * hidden], [batch, steps, hidden]));
    }
    before = after;
  }
}
