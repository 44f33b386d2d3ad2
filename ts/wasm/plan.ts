/**
 * Asks the wasm how much scratch memory a call of some sizes takes, without memory for its operands: views whose
 * strides are 0 are planned like any other.
 */

import type { FloatDType } from "../dtype.ts";
import { KIND_ATTENTION, VIEW_DTYPE, VIEW_DTYPES, VIEW_POINTER } from "./abi.ts";
import { type SizesOfBlock, writeSizes } from "./attention-block.ts";
import { KEY, OUT, PLAN_SCRATCH_BYTE_LENGTH, QUERY, VALUE } from "./attention-fields.ts";
import { plan } from "./dispatch.ts";
import type { WasmInstance } from "./instance.ts";

/** Bytes of scratch memory of a call. */
export function scratchByteLength(
  instance: WasmInstance,
  sizes: SizesOfBlock,
  valueDType: FloatDType,
  caller: string,
): number {
  const memory = instance.memory(caller);
  const mark = memory.scratch.mark();
  try {
    const operand = memory.scratch.allocate(Math.max(sizes.headDim, sizes.valueHeadDim) * 4, caller);
    const out = memory.scratch.allocate(sizes.valueHeadDim * 4, caller);
    const views = memory.views();
    const block = instance.argumentBlock;
    const base = block >>> 2;
    writeSizes(views, block, sizes, memory.emptyAddress);
    for (const view of [QUERY, KEY, VALUE]) views.u32[base + view + VIEW_POINTER] = operand;
    views.u32[base + VALUE + VIEW_DTYPE] = VIEW_DTYPES[valueDType];
    views.u32[base + OUT + VIEW_POINTER] = out;
    plan(instance, KIND_ATTENTION, block, caller);
    return views.u32[base + PLAN_SCRATCH_BYTE_LENGTH]!;
  } finally {
    memory.scratch.release(mark);
  }
}
