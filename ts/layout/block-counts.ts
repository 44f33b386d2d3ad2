/**
 * How much of the scores a call computes: counted in blocks of 64 rows x 64 keys, by the rules of visibility alone.
 */

import { type RowIndex, rowWords, setRange } from "../mask/evaluate.ts";
import type { RuleSizes } from "../mask/program.ts";
import type { Rule } from "../mask/rule.ts";
import type { Window } from "../wasm/call.ts";
import type { RawArray, TensorView } from "../wasm/view.ts";

const BLOCK = 64;
const WORDS = BLOCK / 32;

/** Blocks of one or more heads, and the pairs of a row and a key that it sees. */
export interface BlockCounts {
  /** Every row sees every key. */
  full: number;
  /** Some row sees some key. */
  partial: number;
  /** No row sees a key. */
  skipped: number;
  visible: number;
}

/** What decides who sees whom in one batch row. */
export interface Visibility {
  readonly qLen: number;
  readonly kvLen: number;
  readonly causal: boolean;
  readonly window: Window | undefined;
  readonly qOffset: number;
  /** Valid rows. */
  readonly rows: number;
  /** Valid keys. */
  readonly keys: number;
  readonly mask: { readonly view: TensorView; readonly bytes: RawArray } | undefined;
  readonly rule: { readonly rule: Rule; readonly sizes: RuleSizes } | undefined;
}

/** The keys `[from, to)` and `[0, first)`: what a row sees by position and lengths. The two do not touch. */
interface Sight {
  from: number;
  to: number;
  first: number;
}

function sightOf({ causal, window, qOffset, rows, keys }: Visibility, row: number, sight: Sight): void {
  const position = row + qOffset;
  const end = row < rows ? Math.max(0, causal ? Math.min(keys, position + 1) : keys) : 0;
  const clamp = (j: number): number => Math.min(Math.max(j, 0), end);
  sight.from = window?.left === undefined ? 0 : clamp(position - window.left);
  sight.to = window?.right === undefined ? end : Math.max(sight.from, clamp(position + window.right + 1));
  sight.first = window === undefined ? 0 : clamp(window.first);
  if (sight.first < sight.from) return;
  sight.to = Math.max(sight.to, sight.first);
  sight.from = 0;
  sight.first = 0;
}

/** Adds the blocks of one head of one batch row. */
export function countBlocks(visibility: Visibility, batch: number, head: number, counts: BlockCounts): void {
  for (let start = 0; start < visibility.qLen; start += BLOCK) {
    const end = Math.min(start + BLOCK, visibility.qLen);
    if (visibility.mask === undefined && visibility.rule === undefined) countByPosition(visibility, start, end, counts);
    else countByBits(visibility, batch, head, start, end, counts);
  }
}

/** Intervals only: each row adds where its blocks begin and end, so that no block is looked at per row. */
function countByPosition(visibility: Visibility, start: number, end: number, counts: BlockCounts): void {
  const { kvLen } = visibility;
  const blocks = Math.ceil(kvLen / BLOCK);
  const touched = new Int32Array(blocks + 1);
  const filled = new Int32Array(blocks + 1);
  const sight: Sight = { from: 0, to: 0, first: 0 };
  const add = (from: number, to: number): void => {
    if (from >= to) return;
    counts.visible += to - from;
    touched[Math.floor(from / BLOCK)]! += 1;
    touched[Math.ceil(to / BLOCK)]! -= 1;
    const firstFull = Math.ceil(from / BLOCK);
    const endFull = to === kvLen ? blocks : Math.floor(to / BLOCK);
    if (firstFull >= endFull) return;
    filled[firstFull]! += 1;
    filled[endFull]! -= 1;
  };
  for (let row = start; row < end; row++) {
    sightOf(visibility, row, sight);
    add(0, sight.first);
    add(sight.from, sight.to);
  }
  let some = 0;
  let all = 0;
  for (let block = 0; block < blocks; block++) {
    some += touched[block]!;
    all += filled[block]!;
    classify(some > 0, all === end - start, counts);
  }
}

function countByBits(
  visibility: Visibility,
  batch: number,
  head: number,
  start: number,
  end: number,
  counts: BlockCounts,
): void {
  const { kvLen, mask, rule } = visibility;
  const blocks = Math.ceil(kvLen / BLOCK);
  const length = blocks * WORDS;
  const any = new Uint32Array(length);
  const every = new Uint32Array(length).fill(0xffffffff);
  const words = new Uint32Array(length);
  const other = new Uint32Array(Math.ceil(kvLen / 32));
  const sight: Sight = { from: 0, to: 0, first: 0 };
  for (let row = start; row < end; row++) {
    sightOf(visibility, row, sight);
    words.fill(0);
    setRange(words, 0, sight.first);
    setRange(words, sight.from, sight.to);
    const index: RowIndex = [batch, head, row];
    if (mask !== undefined) intersect(words, maskWords(mask.view, mask.bytes, index, kvLen, other));
    if (rule !== undefined) {
      rowWords(rule.rule, rule.sizes, index, other);
      intersect(words, other);
    }
    for (let i = 0; i < length; i++) {
      any[i]! |= words[i]!;
      every[i]! &= words[i]!;
      counts.visible += bitCount(words[i]!);
    }
  }
  const whole = new Uint32Array(length);
  setRange(whole, 0, kvLen);
  for (let block = 0; block < blocks; block++) {
    const at = block * WORDS;
    const full = every[at] === whole[at] && every[at + 1] === whole[at + 1];
    classify((any[at]! | any[at + 1]!) !== 0, full, counts);
  }
}

function classify(some: boolean, all: boolean, counts: BlockCounts): void {
  if (all) counts.full += 1;
  else if (some) counts.partial += 1;
  else counts.skipped += 1;
}

function intersect(words: Uint32Array, other: Uint32Array): void {
  for (let i = 0; i < other.length; i++) words[i]! &= other[i]!;
}

function bitCount(word: number): number {
  let n = word - ((word >>> 1) & 0x55555555);
  n = (n & 0x33333333) + ((n >>> 2) & 0x33333333);
  return Math.imul((n + (n >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** The row of a mask tensor that broadcasts to `[batch, heads, rows, keys]`. */
function maskWords(
  { shape, strides }: TensorView,
  bytes: RawArray,
  index: RowIndex,
  kvLen: number,
  words: Uint32Array,
): Uint32Array {
  const rank = shape.length;
  let at = 0;
  for (let axis = 0; axis < rank - 1; axis++) {
    if (shape[axis] !== 1) at += index[4 - rank + axis]! * strides[axis]!;
  }
  words.fill(0);
  if (shape[rank - 1] === 1) {
    if (bytes[at] !== 0) setRange(words, 0, kvLen);
    return words;
  }
  for (let j = 0; j < kvLen; j++) if (bytes[at + j] !== 0) words[j >>> 5]! |= 1 << (j & 31);
  return words;
}
