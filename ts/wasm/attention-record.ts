/**
 * A call of attention that is filled in now and run later.
 */

import { ATTENTION_BYTE_LENGTH } from "./abi.ts";
import { type AttentionOutcome, beginAttention, endAttention } from "./attention.ts";
import { blockSteps, planBlock, workOf } from "./attention-phases.ts";
import type { AttentionCall } from "./call.ts";
import type { Job } from "./job.ts";
import type { LinearMemory } from "./memory.ts";

/** Fills a block of the call's own, and leaves its tiles and the copying out for later. */
export function recordAttention(job: Job, memory: LinearMemory, call: AttentionCall): AttentionOutcome {
  const { instance } = job;
  const { caller } = call;
  const block = memory.scratch.allocate(ATTENTION_BYTE_LENGTH, caller);
  const shared = instance.argumentBlock;
  instance.argumentBlock = block;
  const begun = beginAttention(instance, memory, call);
  instance.argumentBlock = shared;
  if (begun.places === undefined) return begun.outcome;
  const base = block >>> 2;
  // A plan writes into the block, and another one must find it as it was.
  const words = memory.views().u32.slice(base, base + ATTENTION_BYTE_LENGTH / 4);
  const mark = memory.scratch.mark();
  const work = workOf(planBlock(instance, memory, block, caller), block);
  memory.scratch.release(mark);
  job.add(work, function* () {
    const mark = memory.scratch.mark();
    memory.views().u32.set(words, base);
    yield* blockSteps(instance, memory, block, caller);
    memory.scratch.release(mark);
    endAttention(memory, call, begun);
  });
  return begun.outcome;
}
