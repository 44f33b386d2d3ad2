/**
 * Attention pooling inside a session: projections to features, then the operator.
 */

import { ACTIVATIONS, runLinear } from "../linear.ts";
import type { Session, Slot } from "../wasm/operator.ts";
import { sliceView, type TensorView } from "../wasm/view.ts";
import { type Normalize, normalizeArguments } from "./normalize.ts";
import type { ScoreSpec } from "./score.ts";
import type { KeyLengths, PoolingSizes } from "./sizes.ts";

/** Operands in linear memory. */
export interface PoolingSlots {
  readonly query: Slot;
  readonly key: Slot;
  readonly value: Slot;
  readonly mask?: Slot | undefined;
}

/** Results, where they are wanted. */
export interface PoolingResults {
  readonly out: Slot;
  readonly weights?: Slot | undefined;
  readonly scores?: Slot | undefined;
}

/** How a call is to be made of its operands. */
export interface PoolingCall {
  readonly score: ScoreSpec;
  readonly normalize: Normalize;
  readonly sizes: PoolingSizes;
  readonly lengths: KeyLengths;
  readonly maskSizes: readonly number[];
}

/** Runs the pooling of operands that are placed already. */
export function runPooling(
  session: Session,
  call: PoolingCall,
  { query, key, value, mask }: PoolingSlots,
  { out, weights, scores }: PoolingResults,
): void {
  const { score, normalize, sizes, lengths, maskSizes } = call;
  const { batch, qLen, kvLen, numHeads, numKvHeads, features, valueDim, queryDim, keyDim, layout } = sizes;
  if (out.elements === 0) return;
  const place = (view: TensorView | undefined): Slot | undefined =>
    view === undefined ? undefined : session.input(view);
  const { both, positions, deep } = score;
  const columns = (from: number, count: number): TensorView | undefined =>
    both && sliceView(both, [0, from], [features, count]);
  const queries = featuresOf(session, query, score.query ?? columns(0, queryDim), score.unit);
  const keys =
    positions === undefined
      ? featuresOf(session, key, score.key ?? columns(queryDim, keyDim), score.unit)
      : session.input(sliceView(positions, [0, 0], [kvLen, queryDim]));
  const { integers, floats } = normalizeArguments(normalize);
  const widths = [0, 1].map((layer) => deep[layer]?.w.shape[0] ?? 0);
  session.run("pooling", {
    integers: [
      ...[batch, qLen, kvLen, numHeads, numKvHeads, features, valueDim],
      ...[layout === "bhsd" ? 1 : 0, positions === undefined ? 0 : 1, lengths.kind, ...maskSizes],
      ...[score.number, ACTIVATIONS.indexOf(score.activation), deep.length, ...widths],
      ...integers,
    ],
    floats: [floats[0] ?? 1, score.parameter],
    inputs: [
      ...[queries, keys, value, mask],
      lengths.lengths && session.list(lengths.lengths),
      ...[place(score.last), place(score.bias)],
      ...[0, 1].flatMap((layer) => [place(deep[layer]?.w), place(deep[layer]?.bias)]),
      place(score.constant),
    ],
    outputs: [out, weights, scores],
  });
}

/** What the score is taken of: rows of unit length, projected rows, or the rows themselves. */
function featuresOf(session: Session, rows: Slot, projection: TensorView | undefined, unit: boolean): Slot {
  if (rows.elements === 0) return rows;
  if (unit) {
    const scaled = session.temporary(rows.shape);
    const width = rows.shape.at(-1)!;
    session.run("unitRows", { integers: [rows.elements / width, width], inputs: [rows], outputs: [scaled] });
    return scaled;
  }
  if (projection === undefined) return rows;
  const projected = session.temporary([...rows.shape.slice(0, -1), projection.shape[0]!]);
  runLinear(session, { x: rows, weight: session.input(projection) }, projected);
  return projected;
}
