/**
 * Reading what a caller passes to `attention`, everything exactly once: the only step that may run code of the caller
 * (getters, proxies).
 */

import { outOfRange, rangeError, wrongKind } from "../errors.ts";
import { RuleHandle } from "../mask/rule.ts";
import { TAP_STAGES } from "../wasm/abi.ts";
import type { Window } from "../wasm/call.ts";
import { proveWeights, readOut, readWeights } from "./attention-capture-results.ts";
import { axesOf, LAYOUTS } from "./axes.ts";
import type { CapturedAttention } from "./captured-attention.ts";
import { optionNames, proveBoolean, proveWord, unknownOption } from "./options.ts";
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

const KNOWN = [
  "layout",
  "scale",
  "causal",
  "qOffset",
  "window",
  "mask",
  "bias",
  "kvLengths",
  "qLengths",
  "cuQLens",
  "cuKvLens",
  "alibiSlopes",
  "softcap",
  "sinks",
  "returnLse",
  "returnWeights",
  "tap",
  "out",
  "outDtype",
  "onEmptyRow",
  "engine",
] as const;

/** No targets. */
const NONE: readonly undefined[] = Object.freeze([]);

const FLOATS = ["float32", "float16", "bfloat16"] as const;

/** Sequences of a packed call: a bound on what is read from a hostile length. */
const MOST_SEQUENCES = 2 ** 24;

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
  const captured: CapturedAttention = {
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
  };
  if (options !== undefined) readOptions(captured, options, known);
  return captured;
}

/** Lists whose length depends on options that may come later: read when all names have been. */
interface Lists {
  qOffset?: unknown;
  kvLengths?: unknown;
  qLengths?: unknown;
  cuQLens?: unknown;
  cuKvLens?: unknown;
  alibiSlopes?: unknown;
  sinks?: unknown;
  rows?: unknown;
}

function readOptions(captured: CapturedAttention, options: unknown, known: readonly string[]): void {
  const { caller } = captured;
  let lists: Lists | undefined;
  for (const name of optionNames(options, caller)) {
    if (!known.includes(name)) throw unknownOption(name, known, [], caller);
    const value = (options as Record<string, unknown>)[name];
    if (value === undefined) continue;
    switch (name) {
      case "layout":
        captured.layout = proveWord(value, LAYOUTS, caller, name);
        break;
      case "scale":
        captured.scale = proveNumber(value, caller, "options.scale");
        break;
      case "causal":
        captured.causal = proveBoolean(value, caller, name);
        break;
      case "qOffset":
        if (typeof value === "number") {
          captured.qOffset = proveInteger(value, I32_MINIMUM, I32_MAXIMUM, caller, "options.qOffset");
        } else if (typeof value === "string") {
          captured.qOffset = proveWord(value, ["bottom-right", "top-left"] as const, caller, name);
        } else lists = { ...lists, qOffset: value };
        break;
      case "window":
        captured.window = readWindow(value, caller);
        break;
      case "mask":
        captured.rule = RuleHandle.ruleOf(value);
        if (captured.rule === undefined) captured.mask = captureTensor(value, caller, "mask");
        break;
      case "bias":
        captured.bias = captureTensor(value, caller, "bias");
        break;
      case "kvLengths":
      case "qLengths":
      case "cuQLens":
      case "cuKvLens":
      case "sinks":
        lists = { ...lists, [name]: value };
        break;
      case "alibiSlopes":
        if (typeof value === "string") captured.alibiSlopes = proveWord(value, ["auto"] as const, caller, name);
        else lists = { ...lists, alibiSlopes: value };
        break;
      case "softcap":
        captured.softcap = proveNumber(value, caller, "options.softcap");
        if (captured.softcap <= 0) {
          throw outOfRange(caller, "options.softcap", value, "a finite number above 0");
        }
        break;
      case "returnLse":
        captured.returnLse = proveBoolean(value, caller, name);
        break;
      case "returnWeights":
        if (typeof value === "object" && value !== null) lists = { ...lists, ...readWeights(captured, value) };
        else captured.returnWeights = proveWeights(value, caller);
        break;
      case "tap":
        captured.tap = proveWord(value, TAP_STAGES, caller, name);
        break;
      case "outDtype":
        captured.outDtype = proveWord(value, FLOATS, caller, name);
        break;
      case "onEmptyRow":
        captured.onEmptyRow = proveWord(value, ["zero", "throw"], caller, name);
        break;
      case "out":
        readOut(captured, value);
        break;
      case "engine":
        captured.engine = value;
        break;
    }
  }
  if (lists !== undefined) readLists(captured, lists);
}

function readLists(captured: CapturedAttention, lists: Lists): void {
  const { caller, query, layout } = captured;
  const axes = axesOf(query.shape, layout, caller);
  const heads = axes.head < 0 ? 1 : query.shape[axes.head]!;
  let entries = axes.batch < 0 ? 1 : query.shape[axes.batch]!;
  let each = "one per batch row";
  const integers = (list: unknown, low: number, name: string): readonly number[] =>
    proveIntegers(list, entries, low, I32_MAXIMUM, caller, `options.${name}`, each);
  if (lists.cuQLens !== undefined) {
    captured.cuQLens = proveIntegerList(lists.cuQLens, MOST_SEQUENCES, 0, I32_MAXIMUM, caller, "options.cuQLens");
    entries = Math.max(captured.cuQLens.length - 1, 0);
    each = "one per sequence";
  }
  if (lists.cuKvLens !== undefined) {
    captured.cuKvLens = proveIntegerList(lists.cuKvLens, MOST_SEQUENCES, 0, I32_MAXIMUM, caller, "options.cuKvLens");
  }
  if (lists.qOffset !== undefined) captured.qOffset = integers(lists.qOffset, I32_MINIMUM, "qOffset");
  if (lists.kvLengths !== undefined) captured.kvLengths = integers(lists.kvLengths, 0, "kvLengths");
  if (lists.qLengths !== undefined) captured.qLengths = integers(lists.qLengths, 0, "qLengths");
  if (lists.alibiSlopes !== undefined) {
    const name = "options.alibiSlopes";
    captured.alibiSlopes = proveFloats(lists.alibiSlopes, heads, caller, name, '"auto" or ');
    const wrong = captured.alibiSlopes.findIndex((slope) => !Number.isFinite(slope));
    if (wrong >= 0) {
      throw rangeError(
        caller,
        `${name}[${wrong}] is ${captured.alibiSlopes[wrong]} as a float32; expected a finite number`,
      );
    }
  }
  if (lists.sinks !== undefined) captured.sinks = proveFloats(lists.sinks, heads, caller, "options.sinks");
  if (lists.rows !== undefined)
    captured.returnWeights = { kind: "rows", rows: readRows(captured, lists.rows, axes.seq) };
}

function readRows({ caller, query }: CapturedAttention, list: unknown, axis: number): readonly number[] {
  const name = "options.returnWeights.rows";
  const qLen = query.shape[axis]!;
  const rows = proveIntegerList(list, qLen, 0, Math.max(qLen - 1, 0), caller, name, "different query rows");
  const slots = new Map<number, number>();
  for (let slot = 0; slot < rows.length; slot++) {
    const row = rows[slot]!;
    const earlier = slots.get(row);
    if (earlier !== undefined) {
      throw rangeError(
        caller,
        `${name}[${slot}] is ${row}, which ${name}[${earlier}] is already; expected different query rows`,
      );
    }
    slots.set(row, slot);
  }
  return rows;
}

function readWindow(value: unknown, caller: string): Window {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrongKind(caller, "options.window", value, "{ left?, right?, first? }");
  }
  const window: { left: number | undefined; right: number | undefined; first: number } = {
    left: undefined,
    right: undefined,
    first: 0,
  };
  for (const name of optionNames(value, `${caller}: options.window`)) {
    if (name !== "left" && name !== "right" && name !== "first") {
      throw unknownOption(name, ["left", "right", "first"], [], `${caller}: options.window`);
    }
    const given = (value as Record<string, unknown>)[name];
    if (given !== undefined) window[name] = proveInteger(given, 0, I32_MAXIMUM, caller, `options.window.${name}`);
  }
  return window;
}
