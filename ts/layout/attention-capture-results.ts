/**
 * Reading which results are asked for, and where they go.
 */

import { describe, SaccadeTypeError } from "../errors.ts";
import type { WeightsKind } from "../wasm/call.ts";
import type { CapturedAttention } from "./captured-attention.ts";
import { optionNames, unknownOption } from "./options.ts";
import { I32_MAXIMUM, proveInteger } from "./shape.ts";
import { type CapturedTensor, captureTensor, ResidentHandle } from "./tensor-like.ts";

const WEIGHTS_EXPECTED = 'true, false, "head-mean", { rows: [...] } or { topK: k }';

/** Proves `returnWeights` where it is no object. */
export function proveWeights(value: unknown, caller: string): WeightsKind | undefined {
  if (typeof value === "boolean") return value ? { kind: "full" } : undefined;
  if (value === "head-mean") return { kind: value };
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
  captured.returnWeights = {
    kind: "top-k",
    k: proveInteger(topK, 1, I32_MAXIMUM, caller, "options.returnWeights.topK"),
  };
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

/** Reads `out`: one target, or one for each result. */
export function readOut(captured: CapturedAttention, value: unknown): void {
  const { caller } = captured;
  if (!isBundle(value, "out")) {
    captured.out = [captureTensor(value, caller, "out")];
    captured.targets = [value];
    return;
  }
  const { out, lse, weights, scores } = readBundle(value, ["out", "lse", "weights", "scores"], caller, "out");
  const target = (given: unknown, name: string): CapturedTensor | undefined =>
    given === undefined ? undefined : captureTensor(given, caller, name);
  const targets = [captureTensor(out, caller, "out.out"), target(lse, "out.lse")];
  const outScores = target(scores, "out.scores");
  if (isBundle(weights, "values")) {
    const { values, indices } = readBundle(weights, ["values", "indices"], caller, "out.weights");
    targets.push(
      captureTensor(values, caller, "out.weights.values"),
      captureTensor(indices, caller, "out.weights.indices"),
    );
  } else targets.push(target(weights, "out.weights"), undefined);
  captured.out = [...targets, outScores];
  captured.targets = [out, lse, weights, undefined, scores];
}

function readBundle<N extends string>(
  bundle: Record<string, unknown>,
  names: readonly N[],
  caller: string,
  about: string,
): Partial<Record<N, unknown>> {
  const read: Partial<Record<N, unknown>> = {};
  for (const name of optionNames(bundle, caller)) {
    if (!names.includes(name as N)) throw unknownOption(name, names, [], `${caller}: ${about}`);
    read[name as N] = bundle[name];
  }
  return read;
}
