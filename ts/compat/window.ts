/**
 * Windows and lists as other systems give them.
 */

import { wrongKind } from "../errors.ts";
import { readInteger } from "./call.ts";

/** The option `window`. */
export interface WindowOption {
  readonly left?: number;
  readonly right?: number;
}

/** A window of sizes where -1 is open on that side; undefined where both are open. */
export function readWindowSizes(
  left: unknown,
  right: unknown,
  names: readonly [string, string],
  caller: string,
): WindowOption | undefined {
  const sizes = [left, right].map((size, side) => readInteger(size ?? -1, -1, 2 ** 31 - 1, caller, names[side]!));
  if (sizes.every((size) => size < 0)) return undefined;
  return { ...(sizes[0]! < 0 ? {} : { left: sizes[0]! }), ...(sizes[1]! < 0 ? {} : { right: sizes[1]! }) };
}

/** How many entries a list has. */
export function countOf(value: unknown, caller: string, name: string): number {
  const length: unknown =
    typeof value === "object" && value !== null ? (value as ArrayLike<unknown>).length : undefined;
  if (typeof length === "number") return length;
  throw wrongKind(caller, name, value, "a list of numbers");
}
