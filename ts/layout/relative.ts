/**
 * Reading and proving calls of attention with relative positions: a call of attention, and tables beside it.
 */

import { shapeError } from "../errors.ts";
import { instanceFor } from "../init.ts";
import { type AttentionCall, type Destination, RESULT_OUT } from "../wasm/call.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import { resolveAttention } from "./attention.ts";
import { captureAttention } from "./attention-capture.ts";
import type { CapturedAttention } from "./captured-attention.ts";
import { resolveApart, resolveDestination } from "./destinations.ts";
import { type FloatView, proveFloatTensor } from "./operands.ts";
import { proveBoolean } from "./options.ts";

import { type CapturedTensor, captureTensor } from "./tensor-like.ts";

/** Options that every attention with relative positions has. */
export const RELATIVE_OPTIONS = [
  "layout",
  "scale",
  "mask",
  "kvLengths",
  "causal",
  "returnWeights",
  "out",
  "engine",
] as const;

/** What was passed, each property read once. */
export interface CapturedRelative {
  readonly attention: CapturedAttention;
  readonly out: CapturedTensor | undefined;
  readonly returnWeights: boolean;
}

/** Reads a call: the only step that may run code of the caller. */
export function captureRelative(
  [query, key, value]: readonly [unknown, unknown, unknown],
  { out, returnWeights, ...options }: Readonly<Record<string, unknown>>,
  caller: string,
): CapturedRelative {
  return {
    attention: captureAttention(query, key, value, { ...options, outDtype: "float32" }, caller),
    out: out === undefined ? undefined : captureTensor(out, caller, "out"),
    returnWeights: returnWeights !== undefined && proveBoolean(returnWeights, caller, "returnWeights"),
  };
}

/** A call, proved. */
export interface RelativeCall {
  readonly instance: WasmInstance;
  readonly call: AttentionCall;
  /** In the order given. */
  readonly tables: readonly FloatView[];
  readonly out: Destination;
  readonly weights: Destination | undefined;
}

/** Proves a call and its tables; the result overlaps none of them. */
export function resolveRelative(
  { attention, out, returnWeights }: CapturedRelative,
  tables: readonly CapturedTensor[],
  caller: string,
): RelativeCall {
  const instance = instanceFor(attention.engine, caller);
  const call = resolveAttention(attention, instance);
  const views = tables.map((table) => proveFloatTensor(table, instance, caller));
  const { query, key, value, modifiers } = call;
  const others = Object.fromEntries(views.map((view, index) => [tables[index]!.name, view]));
  const inputs = { query, key, value, mask: modifiers?.mask, ...others };
  const outShape = call.results[RESULT_OUT]!.shape;
  const destination = resolveApart(out, outShape, inputs, instance, caller);
  const scores = [call.batch, call.numHeads, call.qLen, call.kvLen].slice(4 - Math.max(2, outShape.length));
  const weights = returnWeights ? resolveDestination(undefined, scores, "float32", instance, caller) : undefined;
  return { instance, call, tables: views, out: destination, weights };
}

/** Proves the shape of a table; `undefined` stands for any size. */
export function proveTable(
  { name, shape }: CapturedTensor,
  sizes: readonly (number | undefined)[],
  expected: string,
  caller: string,
): void {
  if (shape.length === sizes.length && sizes.every((size, axis) => size === undefined || size === shape[axis])) return;
  throw shapeError(caller, `${name}.shape is [${shape.join(", ")}]; expected ${expected}`);
}
