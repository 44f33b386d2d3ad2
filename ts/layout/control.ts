/**
 * The options that steer a call, taken from among those that say what it computes.
 */

import type { AsyncOptions } from "../control.ts";
import { wrongKind } from "../errors.ts";
import { proveBoolean } from "./options.ts";
import { proveSignal } from "./signal.ts";

/** What steers a call, and what is left for the function itself to read. */
export interface Controls extends AsyncOptions {
  readonly transfer: boolean;
  /** All other options, each read once; what is no bag of options is handed on as it is. */
  readonly rest: unknown;
}

/**
 * Takes `signal`, `onProgress` and, where it is `movable`, `transfer` out of an option bag. Each own property is read
 * once; a bag that is wrong in itself is left to the function that it is meant for.
 */
export function takeControls(options: unknown, caller: string, movable = false): Controls {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    return { signal: undefined, onProgress: undefined, transfer: false, rest: options };
  }
  const rest: Record<string, unknown> = {};
  const taken: { signal?: unknown; onProgress?: unknown; transfer?: unknown } = {};
  for (const name of Object.keys(options)) {
    const value = (options as Record<string, unknown>)[name];
    if (name === "signal" || name === "onProgress" || (movable && name === "transfer")) taken[name] = value;
    // By definition, not assignment: "__proto__" is a name like any other.
    else Object.defineProperty(rest, name, { value, enumerable: true });
  }
  return {
    signal: proveSignal(taken.signal, caller),
    onProgress: proveProgress(taken.onProgress, caller),
    transfer: taken.transfer === undefined ? false : proveBoolean(taken.transfer, caller, "transfer"),
    rest,
  };
}

function proveProgress(onProgress: unknown, caller: string): AsyncOptions["onProgress"] {
  if (onProgress === undefined || typeof onProgress === "function") return onProgress as AsyncOptions["onProgress"];
  throw wrongKind(caller, "options.onProgress", onProgress, "a function");
}
