/**
 * The one loop over tiles: every kernel call goes through here. On one thread a phase is one call over all its
 * tiles. Dispatch chooses who computes a tile and when, never the arithmetic.
 */

import { describeStatus, STATUS_SIZE } from "./abi.ts";
import type { WasmInstance } from "./instance.ts";
import { outOfMemory } from "./memory.ts";

/** Phases of the attention kind. */
export const PHASE_PACK = 0;
export const PHASE_ATTEND = 1;

/** Validates the block and lets the wasm write its plan into it. */
export function plan(instance: WasmInstance, kind: number, block: number, caller: string): void {
  const exports = instance.exportsFor(kind, caller);
  let status: number;
  try {
    status = exports.plan(kind, block);
  } catch (trap) {
    throw instance.poison(caller, trap);
  }
  if (status !== 0) throw refused(instance, status >>> 0, caller);
}

/** Runs the tiles `[0, tiles)` of a phase in a pass. */
export function runTiles(
  instance: WasmInstance,
  kind: number,
  phase: number,
  block: number,
  pass: number,
  tiles: number,
  caller: string,
): void {
  const status = statusOfTiles(instance, kind, phase, block, pass, tiles, caller);
  if (status !== 0) throw refused(instance, status, caller);
}

/** As {@link runTiles}; the status is the caller's business. */
export function statusOfTiles(
  instance: WasmInstance,
  kind: number,
  phase: number,
  block: number,
  pass: number,
  tiles: number,
  caller: string,
): number {
  const exports = instance.exportsFor(kind, caller);
  try {
    return exports.run(kind, phase, block, pass, 0, tiles) >>> 0;
  } catch (trap) {
    throw instance.poison(caller, trap);
  }
}

/** The error for a status that is not 0. */
export function refused(instance: WasmInstance, status: number, caller: string): Error {
  if ((status & 0xff) === STATUS_SIZE) {
    const memory = instance.memory(caller);
    // The product did not fit in 32 bits, so at least 4 GiB were asked for.
    return outOfMemory(caller, 2 ** 32, memory.liveBytes, memory.limitBytes);
  }
  return new Error(`${caller}: the wasm refused its arguments: ${describeStatus(status)}; this is a defect of saccade`);
}
