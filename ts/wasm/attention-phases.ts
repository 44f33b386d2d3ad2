/**
 * A filled attention block at work where others share it, or where it is run a piece at a time: its plan, its scratch memory,
 * and its phases. On one thread and at once it is `runBlock` that runs it.
 */

import { KIND_ATTENTION } from "./abi.ts";
import {
  BATCH,
  HEAD_DIM,
  KV_LEN,
  NUM_HEADS,
  PARTIAL,
  PLAN_ATTEND_TILES,
  PLAN_PACK_TILES,
  PLAN_PASSES,
  PLAN_SCRATCH_BYTE_LENGTH,
  PLAN_WORK,
  PLAN_WORKSPACE_BYTE_LENGTH,
  Q_LEN,
  SCRATCH,
  SCRATCH_BYTE_LENGTH,
  SPLIT_BLOCKS,
  TAP,
  VALUE_HEAD_DIM,
  WEIGHTS,
} from "./attention-fields.ts";
import { PHASE_ATTEND, PHASE_MERGE, PHASE_PACK, PHASE_SPLIT, type Phase, plan, type Steps } from "./dispatch.ts";
import type { WasmInstance } from "./instance.ts";
import type { LinearMemory } from "./memory.ts";
import { recordingOf } from "./recording.ts";
import { runBlock } from "./run-block.ts";
import { drive, effortOf, threadsFor } from "./sharing.ts";

/** Tiles of each pass, and about how much a pass has to do. */
interface BlockPlan {
  readonly passes: number;
  readonly packTiles: number;
  readonly packWork: number;
  readonly attendTiles: number;
  readonly attendWork: number;
  /** Parts that a tile's keys are cut into; 1: they are not. */
  readonly splits: number;
}

/** Plans the attention block at `block` and gives it its scratch memory. */
export function planBlock(instance: WasmInstance, memory: LinearMemory, block: number, caller: string): BlockPlan {
  plan(instance, KIND_ATTENTION, block, caller);
  const base = block >>> 2;
  let u32 = memory.views().u32;
  const passes = u32[base + PLAN_PASSES]!;
  const packTiles = u32[base + PLAN_PACK_TILES]!;
  const attendTiles = u32[base + PLAN_ATTEND_TILES]!;
  const attendWork = Math.ceil(u32[base + PLAN_WORK]! / Math.max(1, passes));
  // 64 keys of a tile; packing an element takes as long as several multiply-adds.
  const packed = Math.ceil((packTiles * 64 * u32[base + HEAD_DIM]! * 4) / 1024);
  const threads = threadsFor(instance, attendWork);
  // Threads that are woken for what comes next may as well help here, and are awake when it comes.
  const packWork = threads > 1 ? Math.max(packed, instance.pool!.leastWork) : packed;
  const splits = threads === 1 ? 1 : splitBlock(u32, base, attendTiles, threads);
  if (splits > 1) plan(instance, KIND_ATTENTION, block, caller);
  const scratchByteLength =
    u32[base + PLAN_SCRATCH_BYTE_LENGTH]! + (threads - 1) * u32[base + PLAN_WORKSPACE_BYTE_LENGTH]!;
  const scratch = memory.scratch.allocate(scratchByteLength, caller);
  u32 = memory.views().u32;
  u32[base + SCRATCH] = scratch;
  u32[base + SCRATCH_BYTE_LENGTH] = scratchByteLength;
  return { passes, packTiles, packWork, attendTiles, attendWork, splits };
}

/** Tiles that a thread should find at least, so that all end at about the same time. */
const TILES_PER_THREAD = 16;

/** Cuts the keys of few tiles at aligned blocks, so that threads can share them; how many parts each tile has. */
function splitBlock(u32: Uint32Array, base: number, tiles: number, threads: number): number {
  const blocks = Math.ceil(u32[base + KV_LEN]! / 64);
  const wanted = (blocks * tiles) / (TILES_PER_THREAD * threads);
  const inOrder = u32[base + WEIGHTS]! | u32[base + TAP]! | u32[base + PARTIAL]!;
  if (wanted >= blocks || inOrder !== 0) return 1;
  const splitBlocks = 2 ** Math.max(1, Math.floor(Math.log2(wanted)));
  const splits = Math.ceil(blocks / splitBlocks);
  u32[base + SPLIT_BLOCKS] = splits > 1 ? splitBlocks : 0;
  return splits;
}

/** What all phases of a plan count for. */
export function workOf(planned: BlockPlan, block: number): number {
  let work = 0;
  for (const phase of phasesOf(planned, block)) work += effortOf(phase.work);
  return work;
}

/** As `runBlock`; where the call is recorded, leaves it for later. */
export function runOrRecordBlock(instance: WasmInstance, memory: LinearMemory, block: number, caller: string): void {
  const job = recordingOf(instance);
  if (job === undefined) runBlock(instance, memory, block, caller);
  else {
    const work = workOf(planBlock(instance, memory, block, caller), block);
    job.add(work, () => blockSteps(instance, memory, block, caller));
  }
}

/**
 * Plans the attention block at `block`, gives it its scratch memory, and lets all threads run its passes. False, with nothing
 * done, where there is too little to do.
 */
export function runSharedBlock(instance: WasmInstance, memory: LinearMemory, block: number, caller: string): boolean {
  if (!mayBeShared(instance, memory.views().u32, block >>> 2)) return false;
  drive(instance, blockSteps(instance, memory, block, caller), caller);
  return true;
}

/** Whether there is so much to do that threads might share it: a little more than the plan would say. */
function mayBeShared({ pool }: WasmInstance, u32: Uint32Array, base: number): boolean {
  if (pool === undefined) return false;
  const rows = u32[base + BATCH]! * u32[base + NUM_HEADS]! * (u32[base + Q_LEN]! + 3);
  return (rows * u32[base + KV_LEN]! * (u32[base + HEAD_DIM]! + u32[base + VALUE_HEAD_DIM]!)) / 1024 >= pool.leastWork;
}

/** As `runBlock`, phase by phase. */
export function* blockSteps(instance: WasmInstance, memory: LinearMemory, block: number, caller: string): Steps<void> {
  yield* phasesOf(planBlock(instance, memory, block, caller), block);
}

function* phasesOf(planned: BlockPlan, block: number): Steps<void> {
  const { passes, packTiles, packWork, attendTiles, attendWork, splits } = planned;
  const step = (phase: number, pass: number, tiles: number, work: number): Phase => {
    return { kind: KIND_ATTENTION, phase, block, pass, tiles, work };
  };
  for (let pass = 0; pass < passes; pass++) {
    if (packTiles > 0) yield step(PHASE_PACK, pass, packTiles, packWork);
    if (splits === 1) yield step(PHASE_ATTEND, pass, attendTiles, attendWork);
    else {
      yield step(PHASE_SPLIT, pass, attendTiles * splits, attendWork);
      yield step(PHASE_MERGE, pass, attendTiles, Math.ceil(attendWork / 64));
    }
  }
}
