/**
 * Runs one resolved call over a shard of the keys and takes its states out.
 */

import type { AttentionPart, AttentionPartEdge } from "../part.ts";
import { VIEW_POINTER } from "./abi.ts";
import { writeCall } from "./attention.ts";
import { writeShard } from "./attention-block.ts";
import { OUT } from "./attention-fields.ts";
import { runOrRecordBlock } from "./attention-phases.ts";
import type { AttentionCall } from "./call.ts";
import { fingerprintOf } from "./fingerprint.ts";
import type { WasmInstance } from "./instance.ts";
import { newFloats } from "./place.ts";
import { afterwards, recordingOf } from "./recording.ts";

/** Words of the crate's `PartialBlock`: kvTotal, then seven pointers. */
const PARTIAL_WORDS = 8;

/** Runs the call. Whatever happens, the scratch arena is as it was. */
export function runPartial(instance: WasmInstance, call: AttentionCall, layout: "bshd" | "bhsd"): AttentionPart {
  const { caller, batch, numHeads, numKvHeads, qLen, valueHeadDim, modifiers, shard } = call;
  if (shard === undefined) throw new Error(`${caller}: no shard; this is a defect of saccade`);
  const memory = instance.memory(caller);
  const { kvStart, kvEnd } = shard;
  const kvTotal = call.kvLen;
  const { exports } = instance;
  const nodes = exports.shard_nodes(kvStart, kvEnd, kvTotal) >>> 0;
  const rows = batch * numHeads * qLen;
  const floats = (elements: number) => newFloats(elements, memory, caller);
  const edgeOf = (side: 0 | 1): AttentionPartEdge | undefined => {
    const count = exports.shard_edge(kvStart, kvEnd, kvTotal, side) >>> 0;
    if (count === 0) return undefined;
    const from = side === 0 ? kvStart : kvEnd - count;
    const values = floats(batch * numKvHeads * count * valueHeadDim);
    return { kvStart: from, kvEnd: from + count, scores: floats(rows * count), values };
  };
  const [m, l, o] = [floats(nodes * rows), floats(nodes * rows), floats(nodes * rows * valueHeadDim)];
  const [left, right] = [edgeOf(0), edgeOf(1)];
  const results = [m, l, o, left?.scores, left?.values, right?.scores, right?.values];

  const mark = memory.scratch.mark();
  try {
    const allocate = (byteLength: number): number => memory.scratch.allocate(byteLength, caller);
    const addresses = results.map((data) => (data === undefined ? 0 : allocate(data.byteLength)));
    const partial = allocate(PARTIAL_WORDS * 4);
    const fingerprint = fingerprintOf(call, memory.views());
    if (rows !== 0) {
      const block = instance.argumentBlock;
      writeCall(instance, memory, call);
      const views = memory.views();
      views.u32.set([kvTotal, ...addresses], partial >>> 2);
      writeShard(views.u32, block >>> 2, shard, partial);
      views.u32[(block >>> 2) + OUT + VIEW_POINTER] = memory.emptyAddress;
      runOrRecordBlock(instance, memory, block, caller);
      afterwards(instance, () => {
        const { i32 } = memory.views();
        results.forEach((data, i) => {
          const at = addresses[i]! >>> 2;
          // Through integers, so that no NaN changes.
          if (data !== undefined) new Int32Array(data.buffer).set(i32.subarray(at, at + data.length));
        });
      });
    }
    return Object.freeze({
      profile: instance.profile,
      fingerprint,
      kvStart,
      kvEnd,
      kvTotal,
      layout,
      rank: call.query.shape.length,
      batch,
      numHeads,
      numKvHeads,
      qLen,
      valueHeadDim,
      sinks: modifiers?.sinks,
      qLengths: modifiers?.qLengths && Uint32Array.from(modifiers.qLengths),
      m,
      l,
      o,
      left,
      right,
    });
  } finally {
    if (recordingOf(instance) === undefined) memory.scratch.release(mark);
  }
}
