/**
 * Results as callers get them.
 */

import type { PlainTensor } from "../tensor.ts";

/** A float32 result: a new tensor, or the very target that was given for it. */
export function plainOf(
  { data, shape }: { readonly data: unknown; readonly shape: readonly number[] },
  given?: unknown,
): PlainTensor<"float32"> {
  return (data === undefined ? given : { data, shape: [...shape], dtype: "float32" }) as PlainTensor<"float32">;
}
