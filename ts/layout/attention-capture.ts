/**
 * Reading what a caller passes to `attention`, everything exactly once: the only step that may run code of the caller
 * (getters, proxies).
 */

import { describe, SaccadeError, SaccadeRangeError, SaccadeTypeError } from "../errors.ts";
import { optionNames, proveBoolean, proveWord, unknownOption } from "./options.ts";
import { proveInteger, proveIntegers } from "./shape.ts";
import { type CapturedTensor, captureTensor, ResidentHandle } from "./tensor-like.ts";

/** How messages call the function. */
export const CALLER = "attention";

const KNOWN = [
  "layout",
  "scale",
  "causal",
  "qOffset",
  "kvLengths",
  "returnLse",
  "returnWeights",
  "out",
  "onEmptyRow",
  "engine",
] as const;

/** Part of the published interface, not of this version: refused with `ERR_SACCADE_UNSUPPORTED`. */
const LATER = [
  "mask",
  "bias",
  "window",
  "qLengths",
  "cuQLens",
  "cuKvLens",
  "alibiSlopes",
  "softcap",
  "sinks",
  "tap",
  "outDtype",
] as const;

const LAYOUTS = ["bshd", "bhsd"] as const;

/** Order of the axes. */
export type Layout = (typeof LAYOUTS)[number];

const NO_TARGETS = Object.freeze({ out: undefined, lse: undefined, weights: undefined });

const I32_MINIMUM = -(2 ** 31);
const I32_MAXIMUM = 2 ** 31 - 1;

/** Everything that was passed, each property read once. */
export interface CapturedAttention {
  query: CapturedTensor;
  key: CapturedTensor;
  value: CapturedTensor;
  engine: unknown;
  layout: Layout;
  scale: number | undefined;
  causal: boolean;
  qOffset: readonly number[] | number | "bottom-right" | "top-left" | undefined;
  kvLengths: readonly number[] | undefined;
  returnLse: boolean;
  returnWeights: boolean;
  onEmptyRow: "zero" | "throw";
  out: CapturedTensor | undefined;
  outLse: CapturedTensor | undefined;
  outWeights: CapturedTensor | undefined;
  /** The very objects given as targets: they are the result. */
  targets: { out: unknown; lse: unknown; weights: unknown };
}

/** Reads the arguments of `attention`. */
export function captureAttention(query: unknown, key: unknown, value: unknown, options: unknown): CapturedAttention {
  const captured: CapturedAttention = {
    query: captureTensor(query, CALLER, "query"),
    key: captureTensor(key, CALLER, "key"),
    value: captureTensor(value, CALLER, "value"),
    engine: undefined,
    layout: "bshd",
    scale: undefined,
    causal: false,
    qOffset: undefined,
    kvLengths: undefined,
    returnLse: false,
    returnWeights: false,
    onEmptyRow: "zero",
    out: undefined,
    outLse: undefined,
    outWeights: undefined,
    targets: NO_TARGETS,
  };
  if (options !== undefined) captureOptions(captured, options);
  return captured;
}

function captureOptions(captured: CapturedAttention, options: unknown): void {
  for (const name of optionNames(options, CALLER)) {
    const value = (options as Record<string, unknown>)[name];
    if (value === undefined && (KNOWN as readonly string[]).includes(name)) continue;
    switch (name) {
      case "layout":
        captured.layout = proveWord(value, LAYOUTS, CALLER, "layout");
        break;
      case "scale":
        captured.scale = proveScale(value);
        break;
      case "causal":
        captured.causal = proveBoolean(value, CALLER, "causal");
        break;
      case "qOffset":
        captured.qOffset = captureQOffset(value, captured.query);
        break;
      case "kvLengths":
        captured.kvLengths = proveIntegers(value, batchOf(captured.query), 0, I32_MAXIMUM, CALLER, "options.kvLengths");
        break;
      case "returnLse":
        captured.returnLse = proveBoolean(value, CALLER, "returnLse");
        break;
      case "returnWeights":
        captured.returnWeights = proveReturnWeights(value);
        break;
      case "onEmptyRow":
        captured.onEmptyRow = proveWord(value, ["zero", "throw"], CALLER, "onEmptyRow");
        break;
      case "out":
        captureOut(captured, value);
        break;
      case "engine":
        captured.engine = value;
        break;
      default:
        if (value === undefined && (LATER as readonly string[]).includes(name)) break;
        throw unknownOption(name, KNOWN, LATER, CALLER);
    }
  }
}

function batchOf({ shape }: CapturedTensor): number {
  return shape.length === 4 ? shape[0]! : 1;
}

function proveScale(value: unknown): number {
  if (typeof value !== "number") {
    throw new SaccadeTypeError(
      "ERR_SACCADE_ARGUMENT",
      `${CALLER}: options.scale is ${describe(value)}; expected a number`,
    );
  }
  if (!Number.isFinite(value)) {
    throw new SaccadeRangeError("ERR_SACCADE_RANGE", `${CALLER}: options.scale is ${value}; expected a finite number`);
  }
  return value;
}

function captureQOffset(value: unknown, query: CapturedTensor): CapturedAttention["qOffset"] {
  if (typeof value === "string") return proveWord(value, ["bottom-right", "top-left"] as const, CALLER, "qOffset");
  return typeof value === "number"
    ? proveInteger(value, I32_MINIMUM, I32_MAXIMUM, CALLER, "options.qOffset")
    : proveIntegers(value, batchOf(query), I32_MINIMUM, I32_MAXIMUM, CALLER, "options.qOffset");
}

function proveReturnWeights(value: unknown): boolean {
  if (typeof value === "boolean") return value;
  if (value === "head-mean" || (typeof value === "object" && value !== null)) {
    throw new SaccadeError(
      "ERR_SACCADE_UNSUPPORTED",
      `${CALLER}: options.returnWeights can only be true or false in this version`,
    );
  }
  return proveBoolean(value, CALLER, "returnWeights");
}

function captureOut(captured: CapturedAttention, value: unknown): void {
  const isBundle =
    typeof value === "object" &&
    value !== null &&
    ResidentHandle.residentOf(value) === undefined &&
    Object.hasOwn(value, "out");
  if (!isBundle) {
    captured.out = captureTensor(value, CALLER, "out");
    captured.targets = { out: value, lse: undefined, weights: undefined };
    return;
  }
  const targets: CapturedAttention["targets"] = { out: undefined, lse: undefined, weights: undefined };
  for (const name of optionNames(value, CALLER)) {
    if (name !== "out" && name !== "lse" && name !== "weights") {
      throw unknownOption(name, ["out", "lse", "weights"], [], `${CALLER}: out`);
    }
    targets[name] = (value as Record<string, unknown>)[name];
  }
  captured.targets = targets;
  captured.out = captureTensor(targets.out, CALLER, "out.out");
  if (targets.lse !== undefined) captured.outLse = captureTensor(targets.lse, CALLER, "out.lse");
  if (targets.weights !== undefined) captured.outWeights = captureTensor(targets.weights, CALLER, "out.weights");
}
