/**
 * What this JavaScript engine offers, asked without loading anything.
 */

import { hasFloat16Array } from "./layout/typed-array.ts";
import { type ThreadsUnavailable, threadsUnavailable } from "./threads/availability.ts";
import { hasRelaxedSimd } from "./wasm/features.ts";
import { hasSimd } from "./wasm/simd.ts";

/** What {@link capabilities} tells. */
export interface Capabilities {
  /** Fixed-width SIMD: without it nothing here runs. */
  readonly simd: boolean;
  /** Relaxed SIMD: what `build: "fast"` needs. */
  readonly relaxedSimd: boolean;
  /** Whether more than one thread can be used, or why not. */
  readonly threads: { readonly available: boolean; readonly reason?: ThreadsUnavailable };
  /** Whether float16 data come as `Float16Array`; elsewhere they are raw bits in a `Uint16Array`. */
  readonly float16Array: boolean;
}

/**
 * What this JavaScript engine offers. Needs no initialisation.
 *
 * @example
 * ```ts
 * await init({ build: capabilities().relaxedSimd ? "fast" : "strict" });
 * ```
 */
export function capabilities(): Capabilities {
  const reason = threadsUnavailable();
  return {
    simd: hasSimd(),
    relaxedSimd: hasRelaxedSimd(),
    threads: reason === undefined ? { available: true } : { available: false, reason },
    float16Array: hasFloat16Array,
  };
}
