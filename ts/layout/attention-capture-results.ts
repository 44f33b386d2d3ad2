/**
 * Reading which results are asked for, and where they go.
 */

import { optionError, wrongWord } from "../errors.ts";
import type { WeightsKind } from "../wasm/call.ts";
import type { CapturedAttention } from "./captured-attention.ts";
import { readOptions } from "./options.ts";
import { I32_MAXIMUM, proveInteger } from "./shape.ts";
import { type CapturedTensor, captureTensor, ResidentHandle } from "./tensor-like.ts";

const WEIGHTS_EXPECTED = 'true, false, "head-mean", { rows: [...] } or { topK: k }';

/** Proves `returnWeights`; a list of rows is left as it is, since its length depends on other options. */
export function readWeights(captured: CapturedAttention, value: unknown, caller: string): WeightsKind | undefined {
  const about = "options.returnWeights";
  if (typeof value === "boolean") return value ? { kind: "full" } : undefined;
  if (value === "head-mean") return { kind: value };
  if (typeof value !== "object" || value === null) throw wrongWord(caller, about, value, WEIGHTS_EXPECTED);
  const { rows, topK } = readOptions(value, ["rows", "topK"], `${caller}: ${about}`);
  if ((rows === undefined) === (topK === undefined)) {
    const given = rows === undefined ? "neither rows nor topK" : "rows and topK";
    throw optionError(caller, `${about} has ${given}; expected ${WEIGHTS_EXPECTED}`);
  }
  if (rows === undefined) return { kind: "top-k", k: proveInteger(topK, 1, I32_MAXIMUM, caller, `${about}.topK`) };
  captured.hasLists = true;
  return { kind: "rows", rows: rows as readonly number[] };
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

/** Reads `out`: one target, or one for each result. The objects themselves become the call's `targets`. */
export function readOut(captured: CapturedAttention, value: unknown, caller: string): CapturedAttention["out"] {
  const target = (given: unknown, name: string): CapturedTensor | undefined =>
    given === undefined ? undefined : captureTensor(given, caller, name);
  if (!isBundle(value, "out")) {
    captured.targets = [value];
    return [captureTensor(value, caller, "out")];
  }
  const { out, lse, weights, scores } = readOptions(value, ["out", "lse", "weights", "scores"], `${caller}: out`);
  captured.targets = [out, lse, weights, undefined, scores];
  const pair = isBundle(weights, "values")
    ? readOptions(weights, ["values", "indices"], `${caller}: out.weights`)
    : undefined;
  return [
    captureTensor(out, caller, "out.out"),
    target(lse, "out.lse"),
    pair ? captureTensor(pair.values, caller, "out.weights.values") : target(weights, "out.weights"),
    pair && captureTensor(pair.indices, caller, "out.weights.indices"),
    target(scores, "out.scores"),
  ];
}
