/**
 * What a rule shows, evaluated here: for planning, for pictures and as the other side of tests. Calls are computed from
 * the compiled program instead.
 */

import { offsetOf, type RuleSizes, storedStrides } from "./program.ts";
import type { IdRows, Rule } from "./rule.ts";

/** Index of a row: batch row, head, query row. */
export type RowIndex = readonly [batch: number, head: number, row: number];

/** Sets the bits `[from, to)`, both within the words. */
export function setRange(words: Uint32Array, from: number, to: number): void {
  if (from >= to) return;
  const first = from >>> 5;
  const last = (to - 1) >>> 5;
  const head = 0xffffffff << (from & 31);
  const tail = 0xffffffff >>> (31 - ((to - 1) & 31));
  if (first === last) {
    words[first]! |= head & tail;
    return;
  }
  words[first]! |= head;
  words.fill(0xffffffff, first + 1, last);
  words[last]! |= tail;
}

function idsOf({ ids, rows, length }: IdRows, batch: number): Int32Array {
  const from = rows === 1 ? 0 : batch * length;
  return ids.subarray(from, from + length);
}

/** Writes what a row sees, a bit per key, lowest first; bits behind the last key mean nothing. */
export function rowWords(rule: Rule, sizes: RuleSizes, index: RowIndex, words: Uint32Array): void {
  const [batch, head, row] = index;
  const { kvLen } = sizes;
  const clamp = (j: number): number => Math.min(Math.max(j, 0), kvLen);
  switch (rule.kind) {
    case "not":
      rowWords(rule.of, sizes, index, words);
      for (let i = 0; i < words.length; i++) words[i] = ~words[i]!;
      return;
    case "and":
    case "or": {
      rowWords(rule.left, sizes, index, words);
      const right = new Uint32Array(words.length);
      rowWords(rule.right, sizes, index, right);
      if (rule.kind === "and") for (let i = 0; i < words.length; i++) words[i]! &= right[i]!;
      else for (let i = 0; i < words.length; i++) words[i]! |= right[i]!;
      return;
    }
    case "stored": {
      const { bits } = rule;
      const [perBatch, perHead, perRow] = storedStrides(bits.shape);
      const from = batch * perBatch + head * perHead + row * perRow;
      words.set(bits.words.subarray(from, from + words.length));
      return;
    }
  }
  words.fill(0);
  switch (rule.kind) {
    case "causal":
      setRange(words, 0, clamp(row + offsetOf(rule.qOffset, sizes) + 1));
      break;
    case "window": {
      const position = row + offsetOf(rule.qOffset, sizes);
      const from = rule.left === undefined ? 0 : clamp(position - rule.left);
      setRange(words, from, rule.right === undefined ? kvLen : clamp(position + rule.right + 1));
      break;
    }
    case "prefix":
      setRange(words, 0, clamp(rule.lengths[rule.lengths.length === 1 ? 0 : batch]!));
      break;
    case "document": {
      const id = idsOf(rule.query, batch)[row];
      const keys = idsOf(rule.key, batch);
      for (let j = 0; j < kvLen; j++) if (keys[j] === id) words[j >>> 5]! |= 1 << (j & 31);
      break;
    }
    case "dilated": {
      const { step } = rule;
      // The first key at a multiple of the step.
      let j = (row + offsetOf(rule.qOffset, sizes)) % step;
      if (j < 0) j += step;
      for (; j < kvLen; j += step) words[j >>> 5]! |= 1 << (j & 31);
      break;
    }
    case "global":
      if (rule.query.includes(row)) setRange(words, 0, kvLen);
      else for (const j of rule.key) words[j >>> 5]! |= 1 << (j & 31);
  }
}
