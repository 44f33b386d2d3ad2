/**
 * What a call of attention would cost.
 */

import type { AttentionOptions, AttentionTarget, TapStage, WeightsOption } from "./attention-options.ts";
import type { FloatDType } from "./dtype.ts";
import { wrongKind } from "./errors.ts";
import { instanceFor } from "./init.ts";
import { proveLengths, resolveModifiers } from "./layout/attention.ts";
import { captureOptions } from "./layout/attention-capture.ts";
import { resolveSizes } from "./layout/attention-sizes.ts";
import { type BlockCounts, countBlocks, type Visibility } from "./layout/block-counts.ts";
import type { CapturedAttention } from "./layout/captured-attention.ts";
import { optionNames, proveWord, unknownOption } from "./layout/options.ts";
import { resolveQOffset } from "./layout/positions.ts";
import { resolveSequences } from "./layout/sequences.ts";
import { MAXIMUM_RANK, proveShape, RANK_EXPECTED, snapshot } from "./layout/shape.ts";
import { bareTensor, type CapturedTensor } from "./layout/tensor-like.ts";
import { leavesOf } from "./mask/rule.ts";
import { ruleOfSequence } from "./mask/sequence.ts";
import type { AttentionSizes, Sequences } from "./wasm/call.ts";
import type { WasmInstance } from "./wasm/instance.ts";
import { cornerOf } from "./wasm/packed.ts";
import { scratchByteLength } from "./wasm/plan.ts";
import type { TensorView } from "./wasm/view.ts";

const CALLER = "planAttention";

/** The shapes of a call's tensors, in the layout of the options. */
export interface AttentionShapes {
  readonly query: ArrayLike<number>;
  readonly key: ArrayLike<number>;
  readonly value: ArrayLike<number>;
  /** Of the values. Default `"float32"`; half floats are converted block by block, in some more scratch memory. */
  readonly dtype?: FloatDType | undefined;
}

/** What a call of attention would cost. */
export interface AttentionPlan {
  /** Temporary bytes of the kernel, beyond inputs, outputs and copies of those that are not resident. */
  readonly scratchBytes: number;
  /** `2 (headDim + valueHeadDim)` for each visible pair of a query row and a key. */
  readonly flops: number;
  /** Blocks of 64 query rows x 64 keys, over all batch rows and heads. */
  readonly blocks: {
    /** Every row sees every key. */
    readonly full: number;
    /** Some row sees some key. */
    readonly partial: number;
    /** No row sees a key: such a block is not computed. */
    readonly skipped: number;
  };
  /** The kernel that would run: rows x keys of its inner tile. */
  readonly kernel: "tile-4x8";
}

/**
 * Says what a call of {@link attention} would cost, without running it: from shapes and options alone. `mask` and
 * BitMasks are counted as they are; what a `bias` of -Infinity hides is not looked for.
 *
 * @param shapes - of query, key and value
 * @param options - as for {@link attention}, and checked like those
 *
 * @throws as {@link attention}
 *
 * @example
 * ```ts
 * const shape = [1, 4096, 8, 64];
 * const plan = planAttention({ query: shape, key: shape, value: shape }, { causal: true, window: { left: 255 } });
 * console.log(plan.blocks.skipped, plan.flops / 1e9);
 * ```
 */
export function planAttention(
  shapes: AttentionShapes,
  options?: AttentionOptions<
    boolean,
    WeightsOption,
    AttentionTarget | undefined,
    TapStage | undefined,
    FloatDType | undefined
  >,
): AttentionPlan {
  const { query, key, value, dtype } = readShapes(shapes);
  const captured = captureOptions(query, key, value, options, CALLER);
  const instance = instanceFor(captured.engine, CALLER);
  const sizes = resolveSizes(captured, undefined);
  const sequences = resolveSequences(captured, sizes);
  proveLengths(captured, sizes, sequences);
  const qOffset = resolveQOffset(captured, sizes, sequences);
  const modifiers = resolveModifiers(captured, sizes, qOffset, instance, sequences);
  const counts: BlockCounts = { full: 0, partial: 0, skipped: 0, visible: 0 };
  let scratchBytes = 0;
  const offsetOf = (entry: number): number => (typeof qOffset === "object" ? qOffset[entry]! : (qOffset ?? 0));
  if (sequences !== undefined) {
    for (const part of partsOf(sequences, sizes)) {
      scratchBytes = Math.max(scratchBytes, scratchOf(instance, part, captured, dtype));
      const { index, qLen, kvLen } = part;
      const mask = modifiers?.mask && cornerOf(modifiers.mask, index, qLen, kvLen);
      const rule = captured.rule && {
        ...captured.rule,
        rule: ruleOfSequence(captured.rule.rule, index, qLen, kvLen),
      };
      const offset = offsetOf(index);
      const visibility = visibilityOf(part, { ...captured, rule }, mask, offset, index, instance);
      addCounts(counts, countHeads(visibility, part, 0, dependsOn(captured, qOffset).byHead), 1);
    }
  } else {
    scratchBytes = scratchOf(instance, sizes, captured, dtype);
    const { byBatch, byHead } = dependsOn(captured, qOffset);
    for (let batch = 0; batch < (byBatch ? sizes.batch : Math.min(sizes.batch, 1)); batch++) {
      const visibility = visibilityOf(sizes, captured, modifiers?.mask, offsetOf(batch), batch, instance);
      addCounts(counts, countHeads(visibility, sizes, batch, byHead), byBatch ? 1 : sizes.batch);
    }
  }
  const { full, partial, skipped, visible } = counts;
  const flops = 2 * (sizes.headDim + sizes.valueHeadDim) * visible;
  return { scratchBytes, flops, blocks: { full, partial, skipped }, kernel: "tile-4x8" };
}

function readShapes(shapes: unknown): Record<"query" | "key" | "value", CapturedTensor> & { dtype: FloatDType } {
  if (typeof shapes !== "object" || shapes === null) {
    throw wrongKind(CALLER, "shapes", shapes, "{ query, key, value }, each the shape of that tensor");
  }
  const given: Partial<Record<"query" | "key" | "value" | "dtype", unknown>> = {};
  for (const name of optionNames(shapes, CALLER)) {
    if (name !== "query" && name !== "key" && name !== "value" && name !== "dtype") {
      throw unknownOption(name, ["query", "key", "value", "dtype"], `${CALLER}: shapes`);
    }
    given[name] = (shapes as Record<string, unknown>)[name];
  }
  const { dtype } = given;
  const floats = ["float32", "float16", "bfloat16"] as const;
  return {
    query: shapeOnly(given.query, "query"),
    key: shapeOnly(given.key, "key"),
    value: shapeOnly(given.value, "value"),
    dtype: dtype === undefined ? "float32" : proveWord(dtype, floats, CALLER, "dtype"),
  };
}

function shapeOnly(shape: unknown, name: string): CapturedTensor {
  const about = `shapes.${name}`;
  return bareTensor(name, proveShape(snapshot(shape, MAXIMUM_RANK, CALLER, about, RANK_EXPECTED), CALLER, about));
}

function scratchOf(
  instance: WasmInstance,
  sizes: AttentionSizes,
  { scale, causal }: CapturedAttention,
  dtype: FloatDType,
): number {
  if (sizes.batch * sizes.numHeads * sizes.qLen === 0) return 0;
  return scratchByteLength(instance, { ...sizes, scale, causal }, dtype, CALLER);
}

/** The sizes of each packed sequence. */
function* partsOf({ query, key }: Sequences, sizes: AttentionSizes): Generator<AttentionSizes & { index: number }> {
  for (let index = 0; index + 1 < query.length; index++) {
    const qLen = query[index + 1]! - query[index]!;
    yield { ...sizes, index, qLen, kvLen: key[index + 1]! - key[index]! };
  }
}

/** Whether batch rows or heads can see different keys. */
function dependsOn(
  { kvLengths, qLengths, mask, rule }: CapturedAttention,
  qOffset: readonly number[] | number | undefined,
): { readonly byBatch: boolean; readonly byHead: boolean } {
  const rank = mask?.shape.length ?? 0;
  let byBatch = kvLengths !== undefined || qLengths !== undefined || typeof qOffset === "object";
  let byHead = rank >= 3 && mask!.shape[rank - 3] !== 1;
  if (rank === 4 && mask!.shape[0] !== 1) byBatch = true;
  for (const leaf of rule === undefined ? [] : leavesOf(rule.rule)) {
    if (leaf.kind === "prefix" || leaf.kind === "document") byBatch = true;
    if (leaf.kind === "stored") {
      byBatch ||= leaf.bits.shape[0] !== 1;
      byHead ||= leaf.bits.shape[1] !== 1;
    }
  }
  return { byBatch, byHead };
}

function visibilityOf(
  { batch, numHeads, qLen, kvLen }: AttentionSizes,
  { causal, window, kvLengths, qLengths, rule }: CapturedAttention,
  view: TensorView | undefined,
  qOffset: number,
  row: number,
  instance: WasmInstance,
): Visibility {
  const { u8 } = instance.memory(CALLER).views();
  return {
    qLen,
    kvLen,
    causal,
    window,
    qOffset,
    rows: qLengths?.[row] ?? qLen,
    keys: kvLengths?.[row] ?? kvLen,
    mask: view && { view, bytes: view.outside ?? u8.subarray(view.address) },
    rule: rule && {
      rule: rule.rule,
      sizes: { batch, numHeads, qLen, kvLen, qOffset },
    },
  };
}

function countHeads(visibility: Visibility, sizes: AttentionSizes, batch: number, byHead: boolean): BlockCounts {
  const counts: BlockCounts = { full: 0, partial: 0, skipped: 0, visible: 0 };
  const { numHeads } = sizes;
  for (let head = 0; head < (byHead ? numHeads : Math.min(numHeads, 1)); head++) {
    const ofHead: BlockCounts = { full: 0, partial: 0, skipped: 0, visible: 0 };
    countBlocks(visibility, batch, head, ofHead);
    addCounts(counts, ofHead, byHead ? 1 : numHeads);
  }
  return counts;
}

function addCounts(to: BlockCounts, from: BlockCounts, times: number): void {
  to.full += from.full * times;
  to.partial += from.partial * times;
  to.skipped += from.skipped * times;
  to.visible += from.visible * times;
}
