/**
 * From a captured call of `attention` to one frozen, fully resolved value: every default filled in, every length
 * proved. Runs no code of the caller.
 */

import { rangeError } from "../errors.ts";
import type { AttentionCall, AttentionSizes, Modifiers, Sequences } from "../wasm/call.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import type { TensorView } from "../wasm/view.ts";
import { paperSlopes } from "./alibi.ts";
import { resolveSizes } from "./attention-sizes.ts";
import type { CapturedAttention } from "./captured-attention.ts";
import { resolveDestinations } from "./destinations.ts";
import { PACKED_SCORE_AXES, proveBias, proveFloatTensor, proveMask } from "./operands.ts";
import { type NamedView, proveApart } from "./overlap.ts";
import { resolveQOffset } from "./positions.ts";
import { lengthOf, paddedSizes, resolveSequences } from "./sequences.ts";
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
  const strides = shape.map(() => 0);
  return { shape, strides, elements: 0, span: 0, dtype: "float32", contiguous: true, address: 0, outside: undefined };
}

/** Lengths per batch row or sequence are at most the size that they are lengths of. */
export function proveLengths(
  { kvLengths, qLengths, caller }: CapturedAttention,
  sizes: AttentionSizes,
  sequences: Sequences | undefined,
): void {
  if (sequences !== undefined) {
    if (kvLengths !== undefined) proveWithin(kvLengths, "kvLengths", sequences.key, "keys", caller);
    if (qLengths !== undefined) proveWithin(qLengths, "qLengths", sequences.query, "query rows", caller);
    return;
  }
  if (kvLengths !== undefined) proveAtMost(kvLengths, "kvLengths", sizes.kvLen, "kvLen", caller);
  if (qLengths !== undefined) proveAtMost(qLengths, "qLengths", sizes.qLen, "qLen", caller);
}

function proveAtMost(lengths: readonly number[], name: string, most: number, size: string, caller: string): void {
  const over = lengths.findIndex((length) => length > most);
  if (over < 0) return;
  throw rangeError(caller, `options.${name}[${over}] is ${lengths[over]}; expected at most ${size}, which is ${most}`);
}

function proveWithin(
  lengths: readonly number[],
  name: string,
  cumulative: readonly number[],
  what: string,
  caller: string,
): void {
  const over = lengths.findIndex((length, s) => length > lengthOf(cumulative, s));
  if (over < 0) return;
  throw rangeError(
    caller,
    `options.${name}[${over}] is ${lengths[over]}; expected at most ${lengthOf(cumulative, over)}, the ` +
      `${what} of sequence ${over}`,
  );
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
  if (
    softcap === undefined &&
    window === undefined &&
    qLengths === undefined &&
    mask === undefined &&
    rule === undefined &&
    bias === undefined &&
    alibiSlopes === undefined &&
    sinks === undefined
  ) {
    return undefined;
  }
  const full = sequences === undefined ? sizes : paddedSizes(sizes, sequences);
  const axes = sequences === undefined ? undefined : PACKED_SCORE_AXES;
  return {
    softcap,
    window,
    qLengths,
    mask: mask === undefined ? undefined : proveMask(mask, full, instance, caller, axes),
    program: sequences === undefined ? rule?.compiler.compile(rule.rule, sizes, qOffset, caller) : undefined,
    programs: sequences && rule?.compiler.compileEach(rule.rule, full, qOffset, sequences, caller),
    bias: bias === undefined ? undefined : proveBias(bias, full, instance, caller, axes),
    alibiSlopes: alibiSlopes === "auto" ? paperSlopes(sizes.numHeads) : alibiSlopes,
    sinks,
  };
}

/** Outputs overlap neither inputs nor each other. */
function proveOutputsApart(
  { results, query, key, value, modifiers }: AttentionCall,
  captured: CapturedAttention,
): void {
  const outputs: NamedView[] = [];
  results.forEach((result, index) => {
    const view = result?.target;
    if (view !== undefined) outputs.push({ name: captured.out[index]!.name, view });
  });
  const inputs: NamedView[] = [
    { name: "query", view: query },
    { name: "key", view: key },
    { name: "value", view: value },
  ];
  const { mask, bias } = modifiers ?? {};
  if (mask !== undefined) inputs.push({ name: "mask", view: mask });
  if (bias !== undefined) inputs.push({ name: "bias", view: bias });
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
