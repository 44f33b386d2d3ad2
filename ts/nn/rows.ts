/**
 * What layers over rows begin with.
 */

import { type FloatView, proveFloatTensor } from "../layout/operands.ts";
import { readOptions } from "../layout/options.ts";
import { type CapturedTensor, captureTensor } from "../layout/tensor-like.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import type { Held } from "./held.ts";

/** A call of such a layer: its input proved, its target read. */
export interface RowsCall {
  readonly instance: WasmInstance;
  readonly x: FloatView;
  readonly target: CapturedTensor | undefined;
  /** The `out` that was given. */
  readonly given: unknown;
}

/** Reads and proves `x` and the option `out`. */
export function readRows(held: Held, x: unknown, options: unknown, caller: string): RowsCall {
  const captured = captureTensor(x, caller, "x");
  const { out: given } = readOptions(options as { readonly out?: unknown } | undefined, ["out"], caller);
  const target = given === undefined ? undefined : captureTensor(given, caller, "out");
  const instance = held.use(caller, options);
  return { instance, x: proveFloatTensor(captured, instance, caller), target, given };
}
