/**
 * Errors across the boundary: rebuilt on the other side with class, code, message and details.
 */

import { SaccadeError, SaccadeRangeError, SaccadeTypeError } from "../errors.ts";
import type { EncodedError } from "./wire.ts";

/** Causes deeper than this are left out. */
const MOST_CAUSES = 4;

/** The classes whose errors carry a code; all others arrive as plain errors. */
const CLASSES = { state: SaccadeError, type: SaccadeTypeError, range: SaccadeRangeError } as const;
const KINDS = Object.keys(CLASSES) as (keyof typeof CLASSES)[];

/** Takes an error apart. */
export function encodeError(error: unknown, depth = 0): EncodedError {
  const kind = KINDS.find((each) => error instanceof CLASSES[each]) ?? "other";
  const { name, message, cause } = error instanceof Error ? error : new Error(String(error));
  const deeper = cause !== undefined && depth < MOST_CAUSES;
  return {
    kind,
    name,
    message,
    code: kind === "other" ? undefined : (error as { readonly code: string }).code,
    details: kind === "state" ? detailsOf(error as SaccadeError) : {},
    cause: deeper ? encodeError(cause, depth + 1) : undefined,
  };
}

/** Own properties of an error beside its code, which are all primitives. */
function detailsOf(error: SaccadeError): Record<string, unknown> {
  const known = new Set(["code", "name", "message", "stack", "cause"]);
  const primitive = (value: unknown): boolean => typeof value !== "object" && typeof value !== "function";
  return Object.fromEntries(Object.entries(error).filter(([name, value]) => !known.has(name) && primitive(value)));
}

/** Puts an error together again. */
export function decodeError({ kind, name, message, code, details, cause: encodedCause }: EncodedError): Error {
  const cause = encodedCause === undefined ? undefined : decodeError(encodedCause);
  if (kind === "state") return new SaccadeError(code as never, message, { ...details, cause });
  if (kind !== "other") return caused(new CLASSES[kind](code as never, message), cause);
  const error = new Error(message, cause === undefined ? undefined : { cause });
  error.name = name;
  return error;
}

function caused<E extends Error>(error: E, cause: Error | undefined): E {
  if (cause !== undefined) Object.defineProperty(error, "cause", { value: cause, writable: true, configurable: true });
  return error;
}
