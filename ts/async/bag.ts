/**
 * Option bags of calls that are to be recorded. A layer knows its engine itself, so that its methods have no option by which
 * word of the record could reach them; the bag, which is new and nobody else's, carries it.
 */

import type { WasmInstance } from "../wasm/instance.ts";

type Begin = (instance: WasmInstance) => void;

/** Whether something can be a bag of options. */
export function isBag(options: unknown): options is object | undefined {
  return options === undefined || (typeof options === "object" && options !== null && !Array.isArray(options));
}

const begins = new WeakMap<object, Begin>();

/** A bag with the same options, whose call begins a record. */
export function recordingBag(options: object | undefined, begin: Begin): object {
  const bag = { ...options };
  begins.set(bag, begin);
  return bag;
}

/** Begins the record of the call that has this bag, if it is to be recorded: none of the caller's code runs any more. */
export function beginRecord(bag: unknown, instance: WasmInstance): void {
  if (typeof bag === "object" && bag !== null) begins.get(bag)?.(instance);
}
