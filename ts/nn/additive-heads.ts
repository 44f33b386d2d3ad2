/**
 * Heads of additive attention: each pools the projected values by its own score `v_h^T tanh(q_h + k_h)`.
 */

import { optionError, shapeError } from "../errors.ts";
import { type CapturedLengths, captureLengths } from "../layout/lengths.ts";
import { proveBoolean } from "../layout/options.ts";

import { type CapturedTensor, captureTensor } from "../layout/tensor-like.ts";
import { runLinear } from "../linear.ts";
import { softmax } from "../pooling/normalize.ts";
import { runPooling } from "../pooling/run.ts";
import { additive, Score } from "../pooling/score.ts";
import { type KeyLengths, type PoolingMask, type PoolingSizes, proveKeyLengths, proveMask } from "../pooling/sizes.ts";
import type { Weight } from "../pooling/weight.ts";
import type { CapturedRows, Heads, ProjectedOperands } from "../projected-attention.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import type { Session, Slot } from "../wasm/operator.ts";
import { sliceView, type TensorView } from "../wasm/view.ts";

/** What hides keys, and the sizes of a call of additive heads. */
export interface AdditiveCall {
  readonly batch: number;
  readonly qLen: number;
  readonly kvLen: number;
  readonly lengths: KeyLengths;
  readonly mask: PoolingMask;
}

/** What additive heads take of the options. */
const ADDITIVE_OPTIONS: readonly string[] = ["mask", "kvLengths", "returnWeights", "out"];

/** The options of additive heads, each read once. */
export interface CapturedAdditive {
  readonly rank: number;
  readonly sizes: Pick<AdditiveCall, "batch" | "qLen" | "kvLen">;
  readonly lengths: CapturedLengths | undefined;
  readonly mask: CapturedTensor | undefined;
  readonly returnWeights: boolean;
}

/** Reads the options of additive heads. */
export function captureAdditive(
  { query, key, value }: CapturedRows,
  read: Partial<Record<string, unknown>>,
  caller: string,
): CapturedAdditive {
  for (const [name, option] of Object.entries(read)) {
    if (option === undefined || ADDITIVE_OPTIONS.includes(name)) continue;
    throw optionError(
      caller,
      `options.${name} does not go with additive heads, which take ${ADDITIVE_OPTIONS.join(", ")}`,
    );
  }
  const rank = query.shape.length;
  const seq = rank - 2;
  for (const { name, shape } of [key, value]) {
    const same = shape.length === rank && (rank < 3 || shape[0] === query.shape[0]) && shape[seq] === key.shape[seq];
    if (same) continue;
    const expected = [...(rank < 3 ? [] : [query.shape[0]]), name === "key" ? "kvLen" : key.shape[seq], "features"];
    throw shapeError(caller, `${name}.shape is [${shape.join(", ")}]; expected [${expected.join(", ")}]`);
  }
  const sizes = { batch: rank < 3 ? 1 : query.shape[0]!, qLen: query.shape[seq]!, kvLen: key.shape[seq]! };
  const { kvLengths, mask, returnWeights } = read;
  return {
    rank,
    sizes,
    lengths: kvLengths === undefined ? undefined : captureLengths(kvLengths, caller, "options.kvLengths"),
    mask: mask === undefined ? undefined : captureTensor(mask, caller, "mask"),
    returnWeights: returnWeights !== undefined && proveBoolean(returnWeights, caller, "returnWeights"),
  };
}

/** Proves what has been read, against the engine. */
export function resolveAdditive(
  { rank, sizes, lengths, mask, returnWeights }: CapturedAdditive,
  { numHeads }: Heads,
  instance: WasmInstance,
  caller: string,
): AdditiveCall & { readonly weights: readonly number[] | undefined } {
  const { batch, qLen, kvLen } = sizes;
  const weightsShape = [batch, numHeads, qLen, kvLen];
  return {
    ...sizes,
    lengths: proveKeyLengths(lengths, sizes, instance, caller),
    mask: proveMask(mask, { weightsShape }, instance, caller),
    weights: returnWeights ? weightsShape.slice(rank < 3 ? 1 : 0) : undefined,
  };
}

/** A call without weights of its own: rows come projected, `last` is put in head by head. */
const PLAIN = Score.specOf(additive({ v: { data: new Float32Array(1), shape: [1] } }))!;

/** Some rows of a matrix, or elements of a vector. */
function part(view: TensorView, index: number, count: number): TensorView {
  const rest = view.shape.slice(1);
  return sliceView(view, [index * count, ...rest.map(() => 0)], [count, ...rest]);
}

/**
 * Runs the heads one after the other inside a session.
 *
 * @param v - `[numHeads, headDim]`
 * @param out - `[..., qLen, numHeads * valueHeadDim]`
 * @param weights - `[..., numHeads, qLen, kvLen]`, where they are wanted
 */
export function runAdditiveHeads(
  session: Session,
  { numHeads, numKvHeads, headDim, valueHeadDim }: Heads,
  v: TensorView,
  { query, key, value, weights: projections }: ProjectedOperands,
  { batch, qLen, kvLen, lengths, mask }: AdditiveCall,
  out: Slot,
  weights: Slot | undefined,
): void {
  const rows = { query: session.input(query), key: session.input(key), value: session.input(value) };
  const { wq, wk, wv, bq, bk, bv } = projections;
  const project = (
    x: Slot,
    weight: TensorView,
    bias: TensorView | undefined,
    head: number,
    dim: number,
    length: number,
  ): Slot => {
    const to = session.temporary([batch, length, dim]);
    const operands = {
      weight: session.input(part(weight, head, dim)),
      bias: bias && session.input(part(bias, head, dim)),
    };
    runLinear(session, { x, ...operands }, to);
    return to;
  };
  const sizes: PoolingSizes = {
    ...({ rank: 3, layout: "bshd", batch, qLen, kvLen, numHeads: 1, numKvHeads: 1 } as const),
    ...{ queryDim: headDim, keyDim: headDim, valueDim: valueHeadDim, features: headDim },
    weightsShape: [batch, qLen, kvLen],
  };
  const [, maskHeads] = mask.sizes as [number, number, number, number];
  const maskSizes = mask.sizes.with(1, 1);
  const pooled = session.temporary([batch, qLen, valueHeadDim]);
  const found = weights && session.temporary([batch, 1, qLen, kvLen]);
  const joined = session.reshape(out, [batch, qLen, numHeads * valueHeadDim]);
  const all = weights && session.reshape(weights, [batch, numHeads, qLen, kvLen]);
  let keys: Slot | undefined;
  let values: Slot | undefined;
  for (let head = 0; head < numHeads; head++) {
    const group = numHeads / numKvHeads;
    if (head % group === 0) {
      keys = project(rows.key, wk, bk, head / group, headDim, kvLen);
      values = project(rows.value, wv, bv, head / group, valueHeadDim, kvLen);
    }
    const queries = project(rows.query, wq, bq, head, headDim, qLen);
    const last = session.reshape(session.input(part(v, head, 1)), [headDim]) as Slot & Weight;
    const score = { ...PLAIN, last };
    const of = mask.view && session.reshape(session.raw(mask.view), mask.sizes);
    const hidden = of && session.raw(sliceView(of, [0, maskHeads === 1 ? 0 : head, 0, 0], maskSizes));
    const slots = { query: queries, key: keys!, value: values!, mask: hidden };
    runPooling(session, { score, normalize: softmax(), sizes, lengths, maskSizes }, slots, {
      out: pooled,
      weights: found,
    });
    session.copy(pooled, sliceView(joined, [0, 0, head * valueHeadDim], [batch, qLen, valueHeadDim]));
    if (found && all) session.copy(found, sliceView(all, [0, head, 0, 0], [batch, 1, qLen, kvLen]));
  }
}
