/**
 * Compiles a rule for one call into the wasm's postfix program, and proves that it fits the call.
 */

import { rangeError, type SaccadeRangeError, shapeError } from "../errors.ts";
import { WINDOW_OPEN } from "../wasm/abi.ts";
import { MaskProgram } from "../wasm/program.ts";
import type { IdRows, Rule, RuleOffset } from "./rule.ts";

const CAUSAL = 1;
const WINDOW = 2;
const PREFIX = 3;
const DOCUMENT = 4;
const DILATED = 5;
const GLOBAL = 6;
const STORED = 7;
const AND = 8;
const OR = 9;
const NOT = 10;

/** In a program: where the call says the row is, be it another place in each batch row. */
export const OFFSET_OF_CALL: number = -(2 ** 31);

const NAMES = ["batch", "numHeads", "qLen", "kvLen"];
const PACKED_NAMES = ["sequences", "numHeads", "maxQ", "maxKv"];

/** The most instructions that the wasm takes. */
export const MOST_INSTRUCTIONS = 64;

/** Sizes that a rule must fit. */
export interface RuleSizes {
  readonly batch: number;
  readonly numHeads: number;
  readonly qLen: number;
  readonly kvLen: number;
  /** Position of query row 0 for the rules that have none of their own; in a program also {@link OFFSET_OF_CALL}. */
  readonly qOffset: number;
}

/** Instructions of a rule. */
export function instructionsOf(rule: Rule): number {
  if (rule.kind === "not") return 1 + instructionsOf(rule.of);
  return rule.kind === "and" || rule.kind === "or" ? 1 + instructionsOf(rule.left) + instructionsOf(rule.right) : 1;
}

/** Places that a rule needs on the evaluation stack, the deeper side of an and / or coming first. */
function depthOf(rule: Rule): number {
  if (rule.kind === "not") return depthOf(rule.of);
  if (rule.kind !== "and" && rule.kind !== "or") return 1;
  const left = depthOf(rule.left);
  const right = depthOf(rule.right);
  return left === right ? left + 1 : Math.max(left, right);
}

/** The offset that a rule stands at. */
export function offsetOf(qOffset: RuleOffset, { qLen, kvLen, qOffset: ofCall }: RuleSizes): number {
  if (qOffset === "bottom-right") return kvLen - qLen;
  return qOffset === "top-left" ? 0 : (qOffset ?? ofCall);
}

/** Bits of the given indices. */
export function bitsOf(indices: readonly number[], length: number): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(length / 32));
  for (const index of indices) words[index >>> 5]! |= 1 << (index & 31);
  return words;
}

/** Words from one batch row, head and query row of stored bits to the next; 0 where they are broadcast. */
export function storedStrides([batch, heads, rows, columns]: readonly number[]): [number, number, number] {
  const row = Math.ceil(columns! / 32);
  return [batch === 1 ? 0 : heads! * rows! * row, heads === 1 ? 0 : rows! * row, rows === 1 ? 0 : row];
}

/**
 * @param packed - whether the sizes are those of packed sequences, each padded to the longest: a list of a number per
 *   position may then be longer
 * @throws RangeError `ERR_SACCADE_SHAPE`, `ERR_SACCADE_RANGE` where a part of the rule is of another size than the call
 */
export function proveRule(rule: Rule, sizes: RuleSizes, caller: string, packed = false): void {
  const { batch, numHeads, qLen, kvLen } = sizes;
  const names = packed ? PACKED_NAMES : NAMES;
  switch (rule.kind) {
    case "and":
    case "or":
      proveRule(rule.left, sizes, caller, packed);
      proveRule(rule.right, sizes, caller, packed);
      break;
    case "not":
      proveRule(rule.of, sizes, caller, packed);
      break;
    case "prefix":
      perBatchRow(rule.lengths.length, batch, "BitMask.prefixLm: lengths", packed, caller);
      break;
    case "document":
      for (const [side, { rows, length }, expected] of [
        ["query", rule.query, qLen],
        ["key", rule.key, kvLen],
      ] as const) {
        perBatchRow(rows, batch, `BitMask.document: ${side}`, packed, caller);
        if (packed ? length < expected : length !== expected) {
          const name = names[side === "query" ? 2 : 3];
          throw misfit(caller, `BitMask.document: ${side} has ${length} numbers; ${name} is ${expected}`);
        }
      }
      break;
    case "global":
      within(rule.query, qLen, "query", names[2]!, caller);
      within(rule.key, kvLen, "key", names[3]!, caller);
      break;
    case "stored": {
      const { shape } = rule.bits;
      const expected = [batch, numHeads, qLen, kvLen];
      const wrong = shape.findIndex((size, axis) => size !== expected[axis] && (size !== 1 || axis === 3));
      if (wrong >= 0) {
        throw misfit(
          caller,
          `BitMask.fromTensor: its bits are [${shape.join(", ")}]; ${names[wrong]} is ${expected[wrong]}` +
            `${wrong < 3 ? " (or 1)" : ""}`,
        );
      }
    }
  }
}

function misfit(caller: string, detail: string): SaccadeRangeError {
  return shapeError(caller, `mask does not fit the call: ${detail}`);
}

function perBatchRow(rows: number, batch: number, name: string, packed: boolean, caller: string): void {
  if (rows === 1 || rows === batch) return;
  throw misfit(
    caller,
    packed
      ? `${name} is given for ${rows} sequences; there are ${batch}`
      : `${name} is given for ${rows} batch rows; batch is ${batch}`,
  );
}

function within(indices: readonly number[], length: number, side: string, name: string, caller: string): void {
  const wrong = indices.findIndex((index) => index >= length);
  if (wrong < 0) return;
  throw rangeError(
    caller,
    `mask does not fit the call: BitMask.global: ${side}[${wrong}] is ${indices[wrong]}; ${name} is ${length}`,
  );
}

/** The numbers of the first `length` positions, of each list. */
function firstIds({ ids, rows, length: whole }: IdRows, length: number): Int32Array<ArrayBuffer> {
  if (rows === 1 || length === whole) return ids;
  const first = new Int32Array(rows * length);
  for (let row = 0; row < rows; row++) first.set(ids.subarray(row * whole, row * whole + length), row * length);
  return first;
}

/**
 * The program of a rule that {@link proveRule} has seen.
 *
 * @param kvEnd - one past the last key that is there: a shard knows its keys up to there, and none behind
 */
export function compileRule(rule: Rule, sizes: RuleSizes, kvEnd: number = sizes.kvLen): MaskProgram {
  const words: number[] = [];
  const arrays: (Int32Array | Uint32Array)[] = [];
  const patches: [number, number][] = [];
  const pointer = (array: Int32Array | Uint32Array): void => {
    let index = arrays.indexOf(array);
    if (index < 0) index = arrays.push(array) - 1;
    patches.push([words.push(0) - 1, index]);
  };
  const ids = (numbers: IdRows, length: number): void => {
    pointer(firstIds(numbers, length));
    words.push(numbers.rows);
  };
  const emit = (node: Rule): void => {
    switch (node.kind) {
      case "causal":
        words.push(CAUSAL, offsetOf(node.qOffset, sizes));
        break;
      case "window":
        words.push(WINDOW, node.left ?? WINDOW_OPEN, node.right ?? WINDOW_OPEN, offsetOf(node.qOffset, sizes));
        break;
      case "prefix":
        words.push(PREFIX);
        pointer(node.lengths);
        words.push(node.lengths.length);
        break;
      case "document":
        words.push(DOCUMENT);
        ids(node.query, sizes.qLen);
        ids(node.key, kvEnd);
        break;
      case "dilated":
        words.push(DILATED, node.step, offsetOf(node.qOffset, sizes));
        break;
      case "global":
        words.push(GLOBAL);
        pointer(bitsOf(node.query, sizes.qLen));
        pointer(bitsOf(node.key, sizes.kvLen));
        break;
      case "stored":
        words.push(STORED);
        pointer(node.bits.words);
        words.push(node.bits.words.length, ...storedStrides(node.bits.shape));
        break;
      case "not":
        emit(node.of);
        words.push(NOT);
        break;
      default: {
        const deeperFirst = depthOf(node.left) >= depthOf(node.right);
        emit(deeperFirst ? node.left : node.right);
        emit(deeperFirst ? node.right : node.left);
        words.push(node.kind === "and" ? AND : OR);
      }
    }
  };
  emit(rule);
  return new MaskProgram(words, arrays, patches);
}
