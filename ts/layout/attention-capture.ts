/**
 * Reading what a caller passes to `attention`, everything exactly once: the only step that may run code of the caller
 * (getters, proxies).
 */

import { outOfRange, rangeError, wrongKind } from "../errors.ts";
import { RuleHandle } from "../mask/rule.ts";
import { TAP_STAGES } from "../wasm/abi.ts";
import type { Window } from "../wasm/call.ts";
import { readOut, readWeights } from "./attention-capture-results.ts";
import { axesOf, LAYOUTS } from "./axes.ts";
import type { CapturedAttention } from "./captured-attention.ts";
import { eachOption, proveBoolean, proveWord, readOptions } from "./options.ts";
import {
  I32_MAXIMUM,
  I32_MINIMUM,
  proveFloats,
  proveInteger,
  proveIntegerList,
  proveIntegers,
  proveNumber,
} from "./shape.ts";
import { type CapturedTensor, captureTensor } from "./tensor-like.ts";

/** No targets. */
const NONE: readonly undefined[] = Object.freeze([]);

/** Sequences of a packed call: a bound on what is read from a hostile length. */
const MOST_SEQUENCES = 2 ** 24;

/**
 * Proves the value of an option, which is then what the call has under its name. A list is taken as it is: its length may
 * depend on options that come later.
 */
type Reader = (value: unknown, caller: string, name: string, captured: CapturedAttention) => unknown;

const oneOf =
  (...words: readonly string[]): Reader =>
  (value, caller, name) =>
    proveWord(value, words, caller, name);
const number: Reader = (value, caller, name) => proveNumber(value, caller, `options.${name}`);
const list: Reader = (value, _, __, captured) => {
  captured.hasLists = true;
  return value;
};

const READERS: Readonly<Record<string, Reader>> = {
  layout: oneOf(...LAYOUTS),
  scale: number,
  causal: proveBoolean,
  qOffset(value, caller, name, captured) {
    if (typeof value === "string") return proveWord(value, ["bottom-right", "top-left"], caller, name);
    if (typeof value === "object") return list(value, caller, name, captured);
    return proveInteger(value, I32_MINIMUM, I32_MAXIMUM, caller, `options.${name}`);
  },
  window: readWindow,
  mask(value, caller, name, captured) {
    captured.rule = RuleHandle.ruleOf(value);
    return captured.rule === undefined ? captureTensor(value, caller, name) : undefined;
  },
  bias: captureTensor,
  kvLengths: list,
  qLengths: list,
  cuQLens: list,
  cuKvLens: list,
  alibiSlopes: (value, caller, name, captured) =>
    (typeof value === "string" ? oneOf("auto") : list)(value, caller, name, captured),
  softcap(value, caller, name) {
    const cap = proveNumber(value, caller, `options.${name}`);
    if (cap > 0) return cap;
    throw outOfRange(caller, `options.${name}`, cap, "a finite number above 0");
  },
  sinks: list,
  returnLse: proveBoolean,
  returnWeights: (value, caller, _, captured) => readWeights(captured, value, caller),
  tap: oneOf(...TAP_STAGES),
  out: (value, caller, _, captured) => readOut(captured, value, caller),
  outDtype: oneOf("float32", "float16", "bfloat16"),
  onEmptyRow: oneOf("zero", "throw"),
  engine: (value) => value,
};

const KNOWN = Object.keys(READERS);

/** Reads the arguments of `attention`. */
export function captureAttention(
  query: unknown,
  key: unknown,
  value: unknown,
  options: unknown,
  caller: string,
): CapturedAttention {
  return captureOptions(
    captureTensor(query, caller, "query"),
    captureTensor(key, caller, "key"),
    captureTensor(value, caller, "value"),
    options,
    caller,
  );
}

/** Reads the options of `attention`, or those that a call of its kind knows, beside tensors that have been read. */
export function captureOptions(
  query: CapturedTensor,
  key: CapturedTensor,
  value: CapturedTensor,
  options: unknown,
  caller: string,
  known: readonly string[] = KNOWN,
): CapturedAttention {
  // Written out: of an object that is spread the JavaScript engine makes a slow one.
  const captured: CapturedAttention & Record<string, unknown> = {
    caller,
    query,
    key,
    value,
    engine: undefined,
    layout: "bshd",
    scale: undefined,
    causal: false,
    qOffset: undefined,
    window: undefined,
    mask: undefined,
    rule: undefined,
    bias: undefined,
    kvLengths: undefined,
    qLengths: undefined,
    cuQLens: undefined,
    cuKvLens: undefined,
    alibiSlopes: undefined,
    softcap: undefined,
    sinks: undefined,
    returnLse: false,
    returnWeights: undefined,
    tap: undefined,
    outDtype: undefined,
    onEmptyRow: "zero",
    out: NONE,
    targets: NONE,
    hasLists: false,
  };
  if (options === undefined) return captured;
  eachOption(options, known, caller, (name, given) => {
    if (given !== undefined) captured[name] = READERS[name]!(given, caller, name, captured);
  });
  if (captured.hasLists) readLists(captured);
  return captured;
}

function readLists(captured: CapturedAttention & Record<string, unknown>): void {
  const { caller, query, layout } = captured;
  const axes = axesOf(query.shape, layout, caller);
  const heads = axes.head < 0 ? 1 : query.shape[axes.head]!;
  let entries = axes.batch < 0 ? 1 : query.shape[axes.batch]!;
  let each = "one per batch row";
  const read = (name: string, prove: (list: unknown, about: string) => unknown): void => {
    if (captured[name] !== undefined) captured[name] = prove(captured[name], `options.${name}`);
  };
  const bounds = (list: unknown, name: string): readonly number[] =>
    proveIntegerList(list, MOST_SEQUENCES, 0, I32_MAXIMUM, caller, name);
  const integers =
    (low: number) =>
    (list: unknown, name: string): readonly number[] =>
      proveIntegers(list, entries, low, I32_MAXIMUM, caller, name, each);
  read("cuQLens", bounds);
  if (captured.cuQLens !== undefined) {
    entries = Math.max(captured.cuQLens.length - 1, 0);
    each = "one per sequence";
  }
  read("cuKvLens", bounds);
  if (typeof captured.qOffset === "object") read("qOffset", integers(I32_MINIMUM));
  read("kvLengths", integers(0));
  read("qLengths", integers(0));
  if (captured.alibiSlopes !== "auto") {
    read("alibiSlopes", (list, name) => {
      const slopes = proveFloats(list, heads, caller, name, '"auto" or ');
      const wrong = slopes.findIndex((slope) => !Number.isFinite(slope));
      if (wrong < 0) return slopes;
      throw rangeError(caller, `${name}[${wrong}] is ${slopes[wrong]} as a float32; expected a finite number`);
    });
  }
  read("sinks", (list, name) => proveFloats(list, heads, caller, name));
  if (captured.returnWeights?.kind === "rows") {
    const rows = readRows(captured.returnWeights.rows, query.shape[axes.seq]!, caller);
    captured.returnWeights = { kind: "rows", rows };
  }
}

function readRows(list: unknown, qLen: number, caller: string): readonly number[] {
  const name = "options.returnWeights.rows";
  const expected = "different query rows";
  const rows = proveIntegerList(list, qLen, 0, Math.max(qLen - 1, 0), caller, name, expected);
  const slots = new Map<number, number>();
  rows.forEach((row, slot) => {
    if (slots.has(row)) {
      throw rangeError(
        caller,
        `${name}[${slot}] is ${row}, which ${name}[${slots.get(row)}] is already; expected ${expected}`,
      );
    }
    slots.set(row, slot);
  });
  return rows;
}

function readWindow(value: unknown, caller: string): Window {
  const about = "options.window";
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrongKind(caller, about, value, "{ left?, right?, first? }");
  }
  const read = readOptions(value, ["left", "right", "first"], `${caller}: ${about}`);
  const keys = (side: keyof Window): number | undefined =>
    read[side] === undefined ? undefined : proveInteger(read[side], 0, I32_MAXIMUM, caller, `${about}.${side}`);
  return { left: keys("left"), right: keys("right"), first: keys("first") ?? 0 };
}
