/**
 * Running attention's argument block at once.
 */

import { KIND_ATTENTION, STATUS_SCRATCH } from "./abi.ts";
import { PLAN_SCRATCH_BYTE_LENGTH, SCRATCH, SCRATCH_BYTE_LENGTH } from "./attention-fields.ts";
import { PHASE_ALL, plan, refused, statusOfTiles } from "./dispatch.ts";
import type { WasmInstance } from "./instance.ts";
import type { LinearMemory } from "./memory.ts";

/**
 * Runs the block at `block`. What no thread shares takes one step, in the room that the arena has anyway: half the time of a
 * small call. Only where that room is too small does the wasm say first how much it takes. The caller releases the arena.
 */
export function runBlock(instance: WasmInstance, memory: LinearMemory, block: number, caller: string): void {
  if (instance.runShared?.(instance, memory, block, caller)) return;
  const { scratch } = memory;
  const { room } = scratch;
  const isShort = room === 0 || !isRun(instance, memory, block, scratch.roomAddress, room, caller);
  if (isShort) plan(instance, KIND_ATTENTION, block, caller);
  // What has been used counts, as if it had been asked for.
  const byteLength = memory.views().u32[(block >>> 2) + PLAN_SCRATCH_BYTE_LENGTH]!;
  const address = scratch.allocate(byteLength, caller);
  if (isShort && !isRun(instance, memory, block, address, byteLength, caller)) {
    throw refused(instance, STATUS_SCRATCH, caller);
  }
}

/** Runs all phases of all passes in the scratch memory at an address; false where that is too little. */
function isRun(
  instance: WasmInstance,
  memory: LinearMemory,
  block: number,
  address: number,
  byteLength: number,
  caller: string,
): boolean {
  const { u32 } = memory.views();
  u32[(block >>> 2) + SCRATCH] = address;
  u32[(block >>> 2) + SCRATCH_BYTE_LENGTH] = byteLength;
  const status = statusOfTiles(instance, KIND_ATTENTION, PHASE_ALL, block, 0, 0, 0, caller);
  if (status !== 0 && status !== STATUS_SCRATCH) throw refused(instance, status, caller);
  return status === 0;
}
