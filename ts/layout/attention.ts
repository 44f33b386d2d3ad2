/**
 * From a captured call of `attention` to one frozen, fully resolved value: every default filled in, every length
 * proved. Runs no code of the caller.
 */

import { rangeError } from "../errors.ts";
import type { AttentionCall, AttentionSizes, Modifiers, Sequences } from "../wasm/call.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import { rowMajor, type TensorView } from "../wasm/view.ts";
import { paperSlopes } from "./alibi.ts";
import { resolveSizes } from "./attention-sizes.ts";
import type { CapturedAttention } from "./captured-attention.ts";
import { resolveDestinations } from "./destinations.ts";
import { PACKED_SCORE_AXES, proveBias, proveFloatTensor, proveMask } from "./operands.ts";
import { proveApart } from "./overlap.ts";
import { resolveQOffset } from "./positions.ts";
import { paddedSizes, resolveSequences } from "./sequences.ts";
import type { Shard } from "./shard.ts";
import type { CapturedTensor } from "./tensor-like.ts";

/**
 * Proves a captured call against an engine.
 *
 * @param cache - the block of the cache whose keys and values are meant: of `key` and `value` only the shapes count then
 */
export function resolveAttention(
  captured: CapturedAttention,
  instance: WasmInstance,
  shard?: Shard,
  cache?: number,
): AttentionCall {
  const { query, key, value, caller } = captured;
  const sizes = resolveSizes(captured, shard);
  const queryView = proveFloatTensor(query, instance, caller);
  const keyView = cache === undefined ? proveFloatTensor(key, instance, caller) : nothing(key);
  const valueView = cache === undefined ? proveFloatTensor(value, instance, caller) : nothing(value);
  const sequences = resolveSequences(captured, sizes);
  proveLengths(captured, sizes, sequences);
  const qOffset = resolveQOffset(captured, sizes, sequences);
  // A row of weights or scores is as wide as the longest sequence.
  const wide = sequences === undefined ? sizes : { ...sizes, kvLen: sequences.maxKv };
  const results = resolveDestinations(captured, wide, captured.outDtype ?? queryView.dtype, instance);
  const { axes, batch, numHeads, numKvHeads, qLen, kvLen, headDim, valueHeadDim } = sizes;
  const call: AttentionCall = {
    caller,
    batch,
    numHeads,
    numKvHeads,
    qLen,
    kvLen,
    shard: sizes.shard,
    headDim,
    valueHeadDim,
    axes,
    query: queryView,
    key: keyView,
    value: valueView,
    cache,
    results,
    weights: captured.returnWeights,
    tap: captured.tap,
    scale: captured.scale,
    causal: captured.causal,
    qOffset,
    kvLengths: captured.kvLengths,
    modifiers: resolveModifiers(captured, sizes, qOffset, instance, sequences),
    sequences,
    findEmptyRow: captured.onEmptyRow === "throw",
  };
  if (captured.out.length > 0) proveOutputsApart(call, captured);
  return Object.freeze(call);
}

/** A view of a shape that reaches no element. */
function nothing({ shape }: CapturedTensor): TensorView {
  return rowMajor("float32", shape, 0, 0);
}

/** Lengths per batch row or sequence are at most the size that they are lengths of. */
export function proveLengths(
  { kvLengths, qLengths, caller }: CapturedAttention,
  { kvLen, qLen }: AttentionSizes,
  sequences: Sequences | undefined,
): void {
  proveAtMost(kvLengths, "kvLengths", "kvLen", kvLen, sequences?.kvLens, "keys", caller);
  proveAtMost(qLengths, "qLengths", "qLen", qLen, sequences?.qLens, "query rows", caller);
}

/** @param each - the size of each sequence, in place of `most` */
function proveAtMost(
  lengths: readonly number[] | undefined,
  name: string,
  size: string,
  most: number,
  each: readonly number[] | undefined,
  what: string,
  caller: string,
): void {
  const over = lengths?.findIndex((length, s) => length > (each?.[s] ?? most)) ?? -1;
  if (over < 0) return;
  const expected = each === undefined ? `${size}, which is ${most}` : `${each[over]}, the ${what} of sequence ${over}`;
  throw rangeError(caller, `options.${name}[${over}] is ${lengths![over]}; expected at most ${expected}`);
}

/** What a call says beyond scale, causal and valid keys, proved. */
export function resolveModifiers(
  captured: CapturedAttention,
  sizes: AttentionSizes,
  qOffset: readonly number[] | number | undefined,
  instance: WasmInstance,
  sequences: Sequences | undefined,
): Modifiers | undefined {
  const { softcap, window, qLengths, mask, rule, bias, alibiSlopes, sinks, caller } = captured;
  if ((softcap ?? window ?? qLengths ?? mask ?? rule ?? bias ?? alibiSlopes ?? sinks) === undefined) return undefined;
  const full = sequences === undefined ? sizes : paddedSizes(sizes, sequences);
  const axes = sequences === undefined ? undefined : PACKED_SCORE_AXES;
  const compiled = rule?.compiler.compile(rule.rule, full, qOffset, sequences, caller);
  return {
    softcap,
    window,
    qLengths,
    mask: mask && proveMask(mask, full, instance, caller, axes),
    program: compiled?.program,
    programs: compiled?.programs,
    bias: bias && proveBias(bias, full, instance, caller, axes),
    alibiSlopes: alibiSlopes === "auto" ? paperSlopes(sizes.numHeads) : alibiSlopes,
    sinks,
  };
}

/** Outputs overlap neither inputs nor each other. */
function proveOutputsApart(
  { results, query, key, value, modifiers }: AttentionCall,
  captured: CapturedAttention,
): void {
  const outputs = results.map((result, index) => ({ name: captured.out[index]?.name ?? "", view: result?.target }));
  const inputs = [
    { name: "query", view: query },
    { name: "key", view: key },
    { name: "value", view: value },
    { name: "mask", view: modifiers?.mask },
    { name: "bias", view: modifiers?.bias },
  ];
  proveApart(outputs, inputs, captured.caller);
}

/** Where row `index` of `[batch, numHeads, qLen]` is, in words. */
export function describeRow({ qLen, numHeads, sequences }: AttentionCall, index: number): string {
  const row = index % qLen;
  const head = Math.floor(index / qLen) % numHeads;
  if (sequences !== undefined) {
    const sequence = sequences.query.findLastIndex((start) => start <= row);
    return `sequence ${sequence}, head ${head}, query row ${row - sequences.query[sequence]!}`;
  }
  return `batch ${Math.floor(index / qLen / numHeads)}, head ${head}, query row ${row}`;
}
