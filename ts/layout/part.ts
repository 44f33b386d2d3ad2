/**
 * Proving parts: they may come from another worker, a file or a network, so nothing in them is taken on trust. Every
 * property is read once.
 */

import {
  describe,
  optionError,
  rangeError,
  type SaccadeRangeError,
  type SaccadeTypeError,
  shapeError,
  wrongKind,
} from "../errors.ts";
import type { AttentionPart, AttentionPartEdge } from "../part.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import type { MergeSizes } from "../wasm/merge.ts";
import { MAXIMUM_SIZE, proveInteger, snapshot } from "./shape.ts";
import { arrayFacts, typedArrayKind } from "./typed-array.ts";

/** The most parts of one call. */
const MAXIMUM_PARTS = 65536;

/** Properties that all parts of a call have in common, with how messages call them. */
const SHARED = [
  "profile",
  "fingerprint",
  "kvTotal",
  "layout",
  "rank",
  "batch",
  "numHeads",
  "numKvHeads",
  "qLen",
  "valueHeadDim",
] as const;

function wrong(caller: string, name: string, given: unknown, expected: string): SaccadeTypeError {
  return wrongKind(caller, name, given, expected);
}

/** Rows of an output: lists of states are as long, or a multiple. */
export function rowsOf({ batch, numHeads, qLen }: MergeSizes): number {
  return batch * numHeads * qLen;
}

/** Reads a part and proves what can be proved without an engine. */
export function provePart(value: unknown, caller: string, name: string): AttentionPart {
  if (typeof value !== "object" || value === null) throw wrong(caller, name, value, "a part from attentionPartial");
  const read = (key: string): unknown => (value as Record<string, unknown>)[key];
  const integer = (key: string, low: number, high: number): number =>
    proveInteger(read(key), low, high, caller, `${name}.${key}`);
  const profile = read("profile");
  const fingerprint = read("fingerprint");
  const layout = read("layout");
  if (typeof profile !== "string") throw wrong(caller, `${name}.profile`, profile, "a part from attentionPartial");
  if (typeof fingerprint !== "string" || !/^[0-9a-f]{16}$/.test(fingerprint)) {
    throw wrong(caller, `${name}.fingerprint`, fingerprint, "16 hex digits");
  }
  if (layout !== "bshd" && layout !== "bhsd") throw wrong(caller, `${name}.layout`, layout, '"bshd" or "bhsd"');
  const kvTotal = integer("kvTotal", 0, MAXIMUM_SIZE);
  const kvEnd = integer("kvEnd", 0, kvTotal);
  const kvStart = integer("kvStart", 0, kvEnd);
  const rank = integer("rank", 2, 4);
  const sizes: MergeSizes = {
    batch: integer("batch", 0, MAXIMUM_SIZE),
    numHeads: integer("numHeads", 0, MAXIMUM_SIZE),
    numKvHeads: integer("numKvHeads", 0, MAXIMUM_SIZE),
    qLen: integer("qLen", 0, MAXIMUM_SIZE),
    valueHeadDim: integer("valueHeadDim", 0, MAXIMUM_SIZE),
  };
  const { batch, numHeads, numKvHeads, valueHeadDim } = sizes;
  if (numKvHeads === 0 ? numHeads !== 0 : numHeads % numKvHeads !== 0) {
    throw shapeError(
      caller,
      `${name}.numHeads is ${numHeads}, its numKvHeads is ${numKvHeads}; expected a multiple of it`,
    );
  }
  const rows = rowsOf(sizes);
  const floats = (key: string, length: number | undefined): Float32Array =>
    array(read(key), "Float32Array", length, caller, `${name}.${key}`) as Float32Array;
  const m = floats("m", undefined);
  if (rows === 0 ? m.length !== 0 : m.length % rows !== 0) {
    throw lengthError(caller, `${name}.m`, m.length, `a multiple of ${rows}, its rows`);
  }
  const sinks = read("sinks");
  const qLengths = read("qLengths");
  const edge = (key: "left" | "right"): AttentionPartEdge | undefined => {
    const given = read(key);
    if (given === undefined) return undefined;
    return proveEdge(given, sizes, kvStart, kvEnd, caller, `${name}.${key}`);
  };
  return Object.freeze({
    profile,
    fingerprint,
    kvStart,
    kvEnd,
    kvTotal,
    layout,
    rank,
    ...sizes,
    sinks: sinks === undefined ? undefined : floatsOf(sinks, numHeads, caller, `${name}.sinks`),
    qLengths:
      qLengths === undefined
        ? undefined
        : (array(qLengths, "Uint32Array", batch, caller, `${name}.qLengths`) as Uint32Array),
    m,
    l: floats("l", m.length),
    o: floats("o", m.length * valueHeadDim),
    left: edge("left"),
    right: edge("right"),
  });
}

function floatsOf(value: unknown, length: number, caller: string, name: string): Float32Array {
  return array(value, "Float32Array", length, caller, name) as Float32Array;
}

function proveEdge(
  value: unknown,
  sizes: MergeSizes,
  low: number,
  high: number,
  caller: string,
  name: string,
): AttentionPartEdge {
  if (typeof value !== "object" || value === null) throw wrong(caller, name, value, "an edge of a part");
  const read = (key: string): unknown => (value as Record<string, unknown>)[key];
  const kvStart = proveInteger(read("kvStart"), low, high, caller, `${name}.kvStart`);
  const kvEnd = proveInteger(read("kvEnd"), kvStart, Math.min(high, kvStart + 63), caller, `${name}.kvEnd`);
  const count = kvEnd - kvStart;
  const keys = sizes.batch * sizes.numKvHeads * count;
  return Object.freeze({
    kvStart,
    kvEnd,
    scores: floatsOf(read("scores"), rowsOf(sizes) * count, caller, `${name}.scores`),
    values: floatsOf(read("values"), keys * sizes.valueHeadDim, caller, `${name}.values`),
  });
}

/** A typed array of the kind and length expected, over memory of its own. */
function array(
  value: unknown,
  kind: "Float32Array" | "Uint32Array",
  length: number | undefined,
  caller: string,
  name: string,
): Float32Array | Uint32Array {
  if (typedArrayKind(value) !== kind) throw wrong(caller, name, value, `a ${kind}`);
  const facts = arrayFacts(value, caller, name);
  if (length !== undefined && facts.length !== length) throw lengthError(caller, name, facts.length, `${length}`);
  const buffer = facts.buffer as ArrayBuffer;
  const make = kind === "Float32Array" ? Float32Array : Uint32Array;
  return new make(buffer, facts.byteOffset, facts.length);
}

function lengthError(caller: string, name: string, given: number, expected: string): SaccadeRangeError {
  return shapeError(caller, `${name}.length is ${given}; expected ${expected}`);
}

/** Parts of one call that hold every key exactly once, sorted by their first key. */
export function proveParts(
  value: unknown,
  find: () => WasmInstance,
  caller: string,
): { readonly instance: WasmInstance; readonly parts: readonly AttentionPart[] } {
  const given = snapshot(value, MAXIMUM_PARTS, caller, "parts", "an array of parts");
  if (given.length === 0) {
    throw rangeError(caller, "parts is empty; expected at least one part");
  }
  const parts = given.map((part, i) => ({ part: provePart(part, caller, `parts[${i}]`), name: `parts[${i}]` }));
  // None of the caller's code runs after this.
  const instance = find();
  const [first, ...others] = parts as [(typeof parts)[number], ...typeof parts];
  if (first.part.profile !== instance.profile) {
    throw optionError(
      caller,
      `parts[0].profile is ${describe(first.part.profile)}, the engine's is ${describe(instance.profile)}; ` +
        "parts are merged by an engine of the build that made them",
    );
  }
  for (const { part, name } of others) {
    for (const key of SHARED) {
      if (part[key] === first.part[key]) continue;
      throw optionError(
        caller,
        `${name}.${key} is ${describe(part[key])}, parts[0].${key} is ${describe(first.part[key])}; ` +
          "expected parts of one call",
      );
    }
  }
  for (const { part, name } of parts) proveStates(part, instance, caller, name);
  parts.sort((a, b) => a.part.kvStart - b.part.kvStart || a.part.kvEnd - b.part.kvEnd);
  proveCover(parts, caller);
  return { instance, parts: parts.map(({ part }) => part) };
}

/** As many states and open keys as the part's place among the keys demands. */
function proveStates(part: AttentionPart, { exports }: WasmInstance, caller: string, name: string): void {
  const { kvStart, kvEnd, kvTotal } = part;
  const nodes = exports.shard_nodes(kvStart, kvEnd, kvTotal) >>> 0;
  const expected = nodes * rowsOf(part);
  if (part.m.length !== expected) throw lengthError(caller, `${name}.m`, part.m.length, `${expected}`);
  for (const [side, key] of [
    [0, "left"],
    [1, "right"],
  ] as const) {
    const count = exports.shard_edge(kvStart, kvEnd, kvTotal, side) >>> 0;
    const edge = part[key];
    const from = side === 0 ? kvStart : kvEnd - count;
    if ((edge?.kvStart ?? from) === from && (edge === undefined ? 0 : edge.kvEnd - edge.kvStart) === count) continue;
    throw shapeError(
      caller,
      `${name}.${key} does not hold the ${count} keys from ${from} that the part shares with its neighbour`,
    );
  }
}

function proveCover(parts: readonly { readonly part: AttentionPart; readonly name: string }[], caller: string): void {
  let end = 0;
  for (const { part, name } of parts) {
    if (part.kvStart > end) throw gap(caller, end, part.kvStart);
    if (part.kvStart < end) {
      throw rangeError(
        caller,
        `${name} begins with key ${part.kvStart}, but keys up to ${end} are held by another part`,
      );
    }
    end = part.kvEnd;
  }
  const { kvTotal } = parts[0]!.part;
  if (end < kvTotal) throw gap(caller, end, kvTotal);
}

function gap(caller: string, from: number, to: number): SaccadeRangeError {
  return rangeError(caller, `no part holds the keys from ${from} to ${to - 1}`);
}
