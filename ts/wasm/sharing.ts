/**
 * How the tiles of a phase are shared among threads, where there are any: what an engine on one thread that runs attention alone
 * never needs.
 */

import { type Phase, refused, type Steps, statusOfTiles, type TilePool } from "./dispatch.ts";
import type { WasmInstance } from "./instance.ts";

/**
 * What is worth sharing, in {@link Phase.work}: about 300 microseconds on one thread. Below it, waking others costs more
 * than they save.
 */
export const SHARED_WORK = 8192;

/** What a phase counts for in the progress of a call: every one for something. */
export function effortOf(work: number): number {
  return Math.max(1, work);
}

/** Threads that a call with this much to do may use: what its scratch memory is measured for. */
export function threadsFor(instance: WasmInstance, work: number): number {
  const { pool } = instance;
  return pool === undefined || work === 0 || work < pool.leastWork ? 1 : pool.threads;
}

/** The threads to share a phase with; undefined where it is not worth it, or where they are busy with an asynchronous call. */
export function poolFor(instance: WasmInstance, work: number, tiles: number): TilePool | undefined {
  const { pool } = instance;
  return pool === undefined || work === 0 || work < pool.leastWork || tiles < 2 || pool.isOpen ? undefined : pool;
}

/** Runs the tiles `[0, tiles)` of a phase in a pass; they are `work` all together. */
export function runTiles(
  instance: WasmInstance,
  kind: number,
  phase: number,
  block: number,
  pass: number,
  tiles: number,
  work: number,
  caller: string,
): void {
  const pool = poolFor(instance, work, tiles);
  const status =
    pool === undefined
      ? statusOfTiles(instance, kind, phase, block, pass, 0, tiles, caller)
      : pool.run({ kind, phase, block, pass, tiles, work }, caller);
  if (status !== 0) throw refused(instance, status, caller);
}

/** Runs a call to its end at once. */
export function drive<R>(instance: WasmInstance, steps: Steps<R>, caller: string): R {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    const { kind, phase, block, pass, tiles, work } = step.value;
    try {
      runTiles(instance, kind, phase, block, pass, tiles, work, caller);
    } catch (error) {
      steps.return(undefined as never);
      throw error;
    }
  }
}
