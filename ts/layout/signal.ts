/**
 * The option that stops a call.
 */

import { wrongKind } from "../errors.ts";

/** Proves an AbortSignal, of any realm. */
export function proveSignal(signal: unknown, caller: string): AbortSignal | undefined {
  if (signal === undefined) return undefined;
  const isSignal = typeof signal === "object" && signal !== null && "aborted" in signal && "addEventListener" in signal;
  if (isSignal) return signal as AbortSignal;
  throw wrongKind(caller, "options.signal", signal, "an AbortSignal");
}
