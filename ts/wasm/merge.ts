/**
 * Merging the states of parts, or of ordinary results, in the wasm: places them side by side, lists them from left to
 * right, and folds every row.
 */

import type { AttentionPart, AttentionPartEdge } from "../part.ts";
import { KIND_MERGE } from "./abi.ts";
import { plan } from "./dispatch.ts";
import { roundUp } from "./heap.ts";
import type { WasmInstance } from "./instance.ts";
import type { LinearMemory } from "./memory.ts";
import { newFloats } from "./place.ts";
import { afterwards, recordingOf } from "./recording.ts";
import { effortOf, runTiles, threadsFor } from "./sharing.ts";

/** Keys of a block of the merge tree. */
const BLOCK_KV = 64;

/** Words of a merge block, as the crate's `MergeBlock` has them. */
const BATCH = 0;
const NUM_HEADS = 1;
const NUM_KV_HEADS = 2;
const Q_LEN = 3;
const VALUE_HEAD_DIM = 4;
const OUT = 5;
const LSE = 10;
const SINKS = 15;
const Q_LENGTHS = 16;
const ITEMS = 17;
const ITEM_COUNT = 18;
const SCRATCH = 19;
const SCRATCH_BYTE_LENGTH = 20;
const BLOCK_WORDS = 21;

const ITEM_WORDS = 5;
const NODE = 0;
const EDGE = 1;
const RESULT = 2;

/** What all inputs of a merge share. */
export interface MergeSizes {
  readonly batch: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly qLen: number;
  readonly valueHeadDim: number;
}

/** Merged rows as `[batch, numHeads, qLen, valueHeadDim]` and `[batch, numHeads, qLen]`. */
export interface MergedRows {
  readonly out: Float32Array<ArrayBuffer>;
  readonly lse: Float32Array<ArrayBuffer>;
}

/** One entry of the list: its kind, its block, and the addresses of its arrays. */
type Item = readonly [kind: number, block: number, a: number, b: number, c: number];

/** Copies made before the last views are taken. */
type Copies = { readonly address: number; readonly data: Float32Array }[];

/** Merges parts that were proved to cover all keys once, sorted by their first key. */
export function mergeParts(
  instance: WasmInstance,
  sizes: MergeSizes,
  parts: readonly AttentionPart[],
  caller: string,
): MergedRows {
  const first = parts[0]!;
  return runMerge(instance, sizes, first.sinks, first.qLengths, caller, (memory, rows, copies) => {
    const items: Item[] = [];
    const place = (data: Float32Array): number => {
      const address = memory.scratch.allocate(data.byteLength, caller);
      copies.push({ address, data });
      return address;
    };
    const edges = new Map<number, AttentionPartEdge[]>();
    for (const part of parts) {
      const { kvStart, kvEnd, kvTotal } = part;
      const nodes = instance.exports.shard_nodes(kvStart, kvEnd, kvTotal) >>> 0;
      const [m, l, o] = [place(part.m), place(part.l), place(part.o)];
      for (let node = 0; node < nodes; node++) {
        const block = instance.exports.shard_node(kvStart, kvEnd, kvTotal, node) >>> 0;
        const at = node * rows * 4;
        items.push([NODE, block, m + at, l + at, o + at * sizes.valueHeadDim]);
      }
      for (const edge of [part.left, part.right]) {
        if (edge === undefined) continue;
        const block = Math.floor(edge.kvStart / BLOCK_KV);
        const others = edges.get(block);
        if (others === undefined) edges.set(block, [edge]);
        else others.push(edge);
      }
    }
    for (const [block, pieces] of edges) {
      const { scores, values } = assemble(pieces, rows, sizes);
      items.push([EDGE, block, place(scores), place(values), 0]);
    }
    return items.sort((a, b) => a[1] - b[1]);
  });
}

/** Merges ordinary results, in the order given: out as `[batch, numHeads, qLen, valueHeadDim]`. */
export function mergeResults(
  instance: WasmInstance,
  sizes: MergeSizes,
  results: readonly MergedRows[],
  caller: string,
): MergedRows {
  return runMerge(instance, sizes, undefined, undefined, caller, (memory, _rows, copies) =>
    results.map(({ out, lse }, block): Item => {
      const [lseAt, outAt] = [lse, out].map((data) => {
        const address = memory.scratch.allocate(data.byteLength, caller);
        copies.push({ address, data });
        return address;
      }) as [number, number];
      return [RESULT, block, lseAt, outAt, 0];
    }),
  );
}

/** One block of keys from the pieces that its parts know of it; what no part sees stays -Infinity. */
function assemble(pieces: readonly AttentionPartEdge[], rows: number, sizes: MergeSizes) {
  const width = sizes.valueHeadDim;
  const units = sizes.batch * sizes.numKvHeads;
  const scores = new Float32Array(rows * BLOCK_KV).fill(Number.NEGATIVE_INFINITY);
  const values = new Float32Array(units * BLOCK_KV * width);
  for (const piece of pieces) {
    const count = piece.kvEnd - piece.kvStart;
    const column = piece.kvStart % BLOCK_KV;
    for (let row = 0; row < rows; row++) {
      scores.set(piece.scores.subarray(row * count, (row + 1) * count), row * BLOCK_KV + column);
    }
    for (let unit = 0; unit < units; unit++) {
      const from = piece.values.subarray(unit * count * width, (unit + 1) * count * width);
      values.set(from, (unit * BLOCK_KV + column) * width);
    }
  }
  return { scores, values };
}

function runMerge(
  instance: WasmInstance,
  sizes: MergeSizes,
  sinks: Float32Array | undefined,
  qLengths: Uint32Array | undefined,
  caller: string,
  list: (memory: LinearMemory, rows: number, copies: Copies) => readonly Item[],
): MergedRows {
  const memory = instance.memory(caller);
  const { batch, numHeads, qLen, valueHeadDim } = sizes;
  const rows = batch * numHeads * qLen;
  const out = newFloats(rows * valueHeadDim, memory, caller);
  const lse = newFloats(rows, memory, caller);
  if (rows === 0) return { out, lse };
  const mark = memory.scratch.mark();
  try {
    const copies: Copies = [];
    const items = list(memory, rows, copies);
    const allocate = (byteLength: number): number => memory.scratch.allocate(byteLength, caller);
    const block = allocate(BLOCK_WORDS * 4);
    const itemsAt = allocate(items.length * ITEM_WORDS * 4);
    const outAt = allocate(out.byteLength);
    const lseAt = allocate(lse.byteLength);
    const sinksAt = sinks === undefined ? 0 : allocate(sinks.byteLength);
    const qLengthsAt = qLengths === undefined ? 0 : allocate(qLengths.byteLength);
    // A merge reads all that it adds, and computes little with it.
    const work = Math.ceil((items.length * rows * valueHeadDim) / 256);
    const workspaceByteLength = instance.exports.merge_scratch(items.length, valueHeadDim) >>> 0;
    // Each thread's part begins with a cache line.
    const scratchByteLength = threadsFor(instance, work) * roundUp(workspaceByteLength);
    const scratchAt = allocate(scratchByteLength);

    const views = memory.views();
    for (const { address, data } of copies) copyBits(data, views.i32, address);
    if (sinks !== undefined) copyBits(sinks, views.i32, sinksAt);
    if (qLengths !== undefined) views.u32.set(qLengths, qLengthsAt >>> 2);
    views.u32.set(items.flat(), itemsAt >>> 2);
    const words = new Array<number>(BLOCK_WORDS).fill(0);
    words[BATCH] = batch;
    words[NUM_HEADS] = numHeads;
    words[NUM_KV_HEADS] = sizes.numKvHeads;
    words[Q_LEN] = qLen;
    words[VALUE_HEAD_DIM] = valueHeadDim;
    const operand = (at: number, pointer: number, width: number): void => {
      const strides = [numHeads * qLen * width, width, qLen * width];
      words.splice(at, 5, pointer, 0, ...strides);
    };
    operand(OUT, outAt, valueHeadDim);
    operand(LSE, lseAt, 1);
    words[SINKS] = sinksAt;
    words[Q_LENGTHS] = qLengthsAt;
    words[ITEMS] = itemsAt;
    words[ITEM_COUNT] = items.length;
    words[SCRATCH] = scratchAt;
    words[SCRATCH_BYTE_LENGTH] = scratchByteLength;
    views.u32.set(words, block >>> 2);

    plan(instance, KIND_MERGE, block, caller);
    const job = recordingOf(instance);
    if (job === undefined) runTiles(instance, KIND_MERGE, 0, block, 0, rows, work, caller);
    else {
      job.add(effortOf(work), function* () {
        yield { kind: KIND_MERGE, phase: 0, block, pass: 0, tiles: rows, work };
      });
    }
    afterwards(instance, () => {
      const { f32 } = memory.views();
      out.set(f32.subarray(outAt >>> 2, (outAt >>> 2) + out.length));
      lse.set(f32.subarray(lseAt >>> 2, (lseAt >>> 2) + lse.length));
    });
    return { out, lse };
  } finally {
    // What is recorded still needs it.
    if (recordingOf(instance) === undefined) memory.scratch.release(mark);
  }
}

/** Through integers, so that no NaN changes. */
function copyBits(data: Float32Array, to: Int32Array, address: number): void {
  to.set(new Int32Array(data.buffer, data.byteOffset, data.length), address >>> 2);
}
