/**
 * Running a phase in slices of a few milliseconds, with a turn of the event loop between two of them: on this thread alone, or
 * beside the threads of the pool.
 */

import { type Phase, refused, statusOfTiles, type TilePool } from "../wasm/dispatch.ts";
import type { Job } from "../wasm/job.ts";
import { poolFor } from "../wasm/sharing.ts";
import { turn } from "./turn.ts";

/** The longest time that a slice should take: a third of a frame at 60 frames a second. */
const SLICE_MS = 5;
/** The work of the first piece of a phase, of whose speed nothing is known yet: a few milliseconds on the slowest machine. */
const FIRST_WORK = 8192;
/** How many times as long as a chunk that was too long for a slice this thread leaves the chunks to the others. */
const STAND_BACK = 2;

/** What the slices of a job share. */
export interface Slicing {
  /** When the slice began. */
  began: number;
  /** Told after each slice how much of the phase is done, from 0 to 1; throws where the job is to stop. */
  readonly report: (share: number) => void;
}

/** Ends the slice, if it has lasted long enough. */
async function rest(slicing: Slicing, share: number, always = false): Promise<void> {
  if (!always && performance.now() - slicing.began < SLICE_MS) return;
  await turn();
  slicing.report(share);
  slicing.began = performance.now();
}

/** Runs all tiles of a phase. */
export async function runPhase(job: Job, phase: Phase, slicing: Slicing): Promise<void> {
  const { instance, caller } = job;
  // What has been done is done by the steps themselves.
  if (phase.tiles === 0) return await rest(slicing, 1);
  const pool = poolFor(instance, phase.work, phase.tiles);
  const status = pool === undefined ? await runAlone(job, phase, slicing) : await runShared(job, phase, pool, slicing);
  if (status !== 0) throw phase.refusal?.(status) ?? refused(instance, status, caller);
}

async function runAlone(job: Job, phase: Phase, slicing: Slicing): Promise<number> {
  const { kind, block, pass, tiles, work } = phase;
  // No work said is work unknown.
  let atOnce = work === 0 ? 1 : Math.max(1, Math.floor((tiles * FIRST_WORK) / Math.max(work, FIRST_WORK)));
  for (let from = 0; from < tiles; ) {
    const to = Math.min(tiles, from + atOnce);
    const start = performance.now();
    const run = (): number => statusOfTiles(job.instance, kind, phase.phase, block, pass, from, to, job.caller);
    const status = job.within(run);
    if (status !== 0) return status;
    const end = performance.now();
    const perTile = Math.max(end - start, 0.001) / (to - from);
    from = to;
    await rest(slicing, from / tiles);
    const left = SLICE_MS - (performance.now() - slicing.began);
    // At most four times as many as before: the clocks of browsers are coarse.
    atOnce = Math.max(1, Math.min(4 * atOnce, Math.floor(left / perTile)));
  }
  return 0;
}

/** This thread takes chunks too, as long as they fit into a slice; then it looks in from time to time. */
async function runShared(job: Job, phase: Phase, pool: TilePool, slicing: Slicing): Promise<number> {
  const { instance, caller } = job;
  pool.open(phase, caller);
  try {
    let helpsFrom = 0;
    while (!pool.done) {
      const start = performance.now();
      const took: boolean = (start >= helpsFrom || pool.inUse < 2) && pool.step();
      const end = performance.now();
      // A chunk that lasted long may have been held up, and the next one may be short.
      if (took && end - start >= SLICE_MS) helpsFrom = end + STAND_BACK * (end - start);
      if (!took && pool.isLate) throw job.within(() => pool.abandon(caller));
      await rest(slicing, pool.share, !took);
    }
  } catch (error) {
    // Neither the pool nor the memory can be used for anything else until the chunks that were taken are done.
    if (pool.isOpen) pool.drain();
    while (instance.usable && pool.isOpen && !pool.done && !pool.isLate) await turn();
    if (instance.usable && pool.isOpen) {
      if (pool.done) pool.close(caller);
      else job.within(() => pool.abandon(caller));
    }
    throw error;
  }
  return pool.close(caller);
}
