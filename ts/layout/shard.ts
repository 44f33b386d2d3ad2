/**
 * The place of a shard's keys among all keys, taken out of the options of `attentionPartial`.
 */

import { describe, optionError, rangeError } from "../errors.ts";
import type { KeyRange } from "../wasm/call.ts";
import { optionNames, unknownOption } from "./options.ts";
import { MAXIMUM_SIZE, proveInteger } from "./shape.ts";

/** Which keys are given, out of how many. */
export interface Shard {
  readonly kvStart: number;
  readonly kvTotal: number;
}

/** Options of `attention` that have no meaning for a part. */
const RESULTS = ["returnLse", "returnWeights", "tap", "out", "outDtype", "onEmptyRow", "cuQLens", "cuKvLens"];

/** Reads the options once, and splits them. */
export function captureShard(options: unknown, caller: string): { readonly shard: Shard; readonly rest: object } {
  const rest: Record<string, unknown> = {};
  const place: { kvStart?: unknown; kvTotal?: unknown } = {};
  for (const name of optionNames(options, caller)) {
    const value = (options as Record<string, unknown>)[name];
    if (name === "kvStart" || name === "kvTotal") place[name] = value;
    else if (RESULTS.includes(name)) throw unknownOption(name, ["kvStart", "kvTotal", "engine"], caller);
    else rest[name] = value;
  }
  const integer = (name: "kvStart" | "kvTotal", most: number): number => {
    const value = place[name];
    if (value === undefined) {
      throw optionError(
        caller,
        `options.${name} is ${describe(value)}; expected the place of the shard: { kvStart, kvTotal }`,
      );
    }
    return proveInteger(value, 0, most, caller, `options.${name}`);
  };
  const kvTotal = integer("kvTotal", MAXIMUM_SIZE);
  return { shard: { kvStart: integer("kvStart", kvTotal), kvTotal }, rest };
}

/** Where the `length` keys of a shard are among all. */
export function resolveShard({ kvStart, kvTotal }: Shard, length: number, caller: string): KeyRange {
  const kvEnd = kvStart + length;
  if (kvEnd <= kvTotal) return { kvStart, kvEnd };
  throw rangeError(caller, `key holds the keys from ${kvStart} to ${kvEnd - 1}, options.kvTotal is ${kvTotal}`);
}
