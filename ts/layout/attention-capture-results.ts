/**
 * Reading which results are asked for, and where they go.
 */

import { describe, SaccadeTypeError } from "../errors.ts";
import type { CapturedAttention, WantedWeights } from "./captured-attention.ts";
import { optionNames, unknownOption } from "./options.ts";
import { I32_MAXIMUM, proveInteger } from "./shape.ts";
import { captureTensor, ResidentHandle } from "./tensor-like.ts";

const WEIGHTS_EXPECTED = 'true, false, "head-mean", { rows: [...] } or { topK: k }';

/** Proves `returnWeights` where it is no object. */
export function proveWeights(value: unknown, caller: string): WantedWeights {
  if (typeof value === "boolean") return value ? "full" : undefined;
  if (value === "head-mean") return value;
  throw new SaccadeTypeError(
    typeof value === "string" ? "ERR_SACCADE_OPTION" : "ERR_SACCADE_ARGUMENT",
    `${caller}: options.returnWeights is ${describe(value)}; expected ${WEIGHTS_EXPECTED}`,
  );
}

/** Reads `{ rows }` or `{ topK }`; the list of rows is given back unread, since its length depends on other options. */
export function readWeights(captured: CapturedAttention, value: object): { readonly rows: unknown } | undefined {
  const { caller } = captured;
  const about = `${caller}: options.returnWeights`;
  let rows: unknown;
  let topK: unknown;
  for (const name of optionNames(value, about)) {
    if (name === "rows") rows = (value as Record<string, unknown>)[name];
    else if (name === "topK") topK = (value as Record<string, unknown>)[name];
    else throw unknownOption(name, ["rows", "topK"], [], about);
  }
  if ((rows === undefined) === (topK === undefined)) {
    throw new SaccadeTypeError(
      "ERR_SACCADE_OPTION",
      `${about} has ${rows === undefined ? "neither rows nor topK" : "rows and topK"}; expected ${WEIGHTS_EXPECTED}`,
    );
  }
  if (topK === undefined) return { rows };
  captured.returnWeights = { topK: proveInteger(topK, 1, I32_MAXIMUM, caller, "options.returnWeights.topK") };
  return undefined;
}

/** Whether a value has a property of its own that no tensor has: then it is a bundle of targets. */
function isBundle(value: unknown, property: string): value is Record<string, unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    ResidentHandle.residentOf(value) === undefined &&
    Object.hasOwn(value, property)
  );
}

/** Nothing is given as a target. */
export const NO_TARGETS: CapturedAttention["targets"] = Object.freeze({
  out: undefined,
  lse: undefined,
  weights: undefined,
  scores: undefined,
});

const TARGETS = ["out", "lse", "weights", "scores"] as const;

/** Reads `out`: one target, or a bundle of them. */
export function readOut(captured: CapturedAttention, value: unknown): void {
  const { caller } = captured;
  if (!isBundle(value, "out")) {
    captured.out = captureTensor(value, caller, "out");
    captured.targets = { out: value, lse: undefined, weights: undefined, scores: undefined };
    return;
  }
  const targets: Record<(typeof TARGETS)[number], unknown> = { ...NO_TARGETS };
  for (const name of optionNames(value, caller)) {
    if (!(TARGETS as readonly string[]).includes(name)) throw unknownOption(name, TARGETS, [], `${caller}: out`);
    targets[name as (typeof TARGETS)[number]] = value[name];
  }
  captured.targets = targets;
  const { out, lse, weights, scores } = targets;
  captured.out = captureTensor(out, caller, "out.out");
  if (lse !== undefined) captured.outLse = captureTensor(lse, caller, "out.lse");
  if (scores !== undefined) captured.outScores = captureTensor(scores, caller, "out.scores");
  if (weights === undefined) return;
  if (!isBundle(weights, "values")) {
    captured.outWeights = captureTensor(weights, caller, "out.weights");
    return;
  }
  let values: unknown;
  let indices: unknown;
  for (const name of optionNames(weights, caller)) {
    if (name === "values") values = weights[name];
    else if (name === "indices") indices = weights[name];
    else throw unknownOption(name, ["values", "indices"], [], `${caller}: out.weights`);
  }
  captured.outWeights = captureTensor(values, caller, "out.weights.values");
  captured.outIndices = captureTensor(indices, caller, "out.weights.indices");
}
