/**
 * Every error that this package throws on purpose carries a `code`. The class says what kind of mistake it is:
 * `TypeError` for a wrong kind of thing, `RangeError` for a wrong value or shape, {@link SaccadeError} for a state
 * of the engine or of the surroundings.
 */

/** Codes carried by a `TypeError`. */
export type TypeErrorCode = "ERR_SACCADE_DTYPE" | "ERR_SACCADE_OPTION" | "ERR_SACCADE_ARGUMENT";

/** Codes carried by a `RangeError`. */
export type RangeErrorCode =
  | "ERR_SACCADE_SHAPE"
  | "ERR_SACCADE_STRIDE"
  | "ERR_SACCADE_RANGE"
  | "ERR_SACCADE_OVERLAP"
  | "ERR_SACCADE_CACHE_FULL"
  | "ERR_SACCADE_EMPTY_ROW";

/** Codes carried by a {@link SaccadeError}. */
export type StateErrorCode =
  | "ERR_SACCADE_NOT_INITIALIZED"
  | "ERR_SACCADE_ALREADY_INITIALIZED"
  | "ERR_SACCADE_WASM_LOAD"
  | "ERR_SACCADE_WASM_FORBIDDEN"
  | "ERR_SACCADE_UNSUPPORTED"
  | "ERR_SACCADE_DETACHED"
  | "ERR_SACCADE_DISPOSED"
  | "ERR_SACCADE_FOREIGN"
  | "ERR_SACCADE_OUT_OF_MEMORY"
  | "ERR_SACCADE_CORRUPT"
  | "ERR_SACCADE_SELF_TEST"
  | "ERR_SACCADE_BUSY"
  | "ERR_SACCADE_WORKER"
  | "ERR_SACCADE_TIMEOUT"
  | "ERR_SACCADE_POISONED";

/** Every code, whatever class carries it. */
export type ErrorCode = TypeErrorCode | RangeErrorCode | StateErrorCode;

/** What a {@link SaccadeError} may say beyond its message. */
export interface SaccadeErrorDetails {
  /** The error underneath, where there was one. */
  readonly cause?: unknown;
  /** `ERR_SACCADE_WASM_LOAD`: where the wasm file was looked for. */
  readonly url?: string | undefined;
  /** `ERR_SACCADE_WASM_LOAD`: the HTTP status of the answer. */
  readonly status?: number | undefined;
  /** `ERR_SACCADE_WASM_LOAD`: the content type of the answer. */
  readonly contentType?: string | undefined;
  /** What to try next, in a sentence. */
  readonly hint?: string | undefined;
  /** `ERR_SACCADE_OUT_OF_MEMORY`: the bytes that could not be had. */
  readonly requestedBytes?: number | undefined;
  /** `ERR_SACCADE_OUT_OF_MEMORY`: the most that this engine's memory can hold. */
  readonly limitBytes?: number | undefined;
}

/**
 * An error of state: not initialised, disposed, out of memory, a wasm file that is none.
 *
 * @example
 * ```ts
 * import { attention, SaccadeError } from "saccade";
 *
 * try {
 *   attention(query, key, value);
 * } catch (error) {
 *   if (error instanceof SaccadeError && error.code === "ERR_SACCADE_OUT_OF_MEMORY") {
 *     console.log(error.requestedBytes, error.limitBytes);
 *   }
 * }
 * ```
 */
export class SaccadeError extends Error {
  /** Which error this is: stable, for programs to compare. */
  readonly code: StateErrorCode;
  /** Where the wasm file was looked for (`ERR_SACCADE_WASM_LOAD`). */
  declare readonly url?: string;
  /** The HTTP status of the answer (`ERR_SACCADE_WASM_LOAD`). */
  declare readonly status?: number;
  /** The content type of the answer (`ERR_SACCADE_WASM_LOAD`). */
  declare readonly contentType?: string;
  /** What to try next, in a sentence. */
  declare readonly hint?: string;
  /** The bytes that could not be had (`ERR_SACCADE_OUT_OF_MEMORY`). */
  declare readonly requestedBytes?: number;
  /** The most that this engine's memory can hold (`ERR_SACCADE_OUT_OF_MEMORY`). */
  declare readonly limitBytes?: number;

  constructor(code: StateErrorCode, message: string, details: SaccadeErrorDetails = {}) {
    const { cause, ...more } = details;
    super(message, cause === undefined ? undefined : { cause });
    this.name = "SaccadeError";
    this.code = code;
    for (const [name, detail] of Object.entries(more)) {
      if (detail !== undefined) Object.assign(this, { [name]: detail });
    }
  }
}

/** A `TypeError` with a code: a wrong kind of argument, an unknown or contradictory option. */
export class SaccadeTypeError extends TypeError {
  /** Which error this is: stable, for programs to compare. */
  readonly code: TypeErrorCode;

  constructor(code: TypeErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** A `RangeError` with a code: a wrong value, shape or stride. */
export class SaccadeRangeError extends RangeError {
  /** Which error this is: stable, for programs to compare. */
  readonly code: RangeErrorCode;

  constructor(code: RangeErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** A wrong kind of argument. `caller` is the function that was called; the message goes on with what it was given. */
export function argumentError(caller: string, message: string): SaccadeTypeError {
  return new SaccadeTypeError("ERR_SACCADE_ARGUMENT", `${caller}: ${message}`);
}

/** An unknown or contradictory option. */
export function optionError(caller: string, message: string): SaccadeTypeError {
  return new SaccadeTypeError("ERR_SACCADE_OPTION", `${caller}: ${message}`);
}

/** A dtype that does not fit. */
export function dtypeError(caller: string, message: string): SaccadeTypeError {
  return new SaccadeTypeError("ERR_SACCADE_DTYPE", `${caller}: ${message}`);
}

/** A shape that does not fit. */
export function shapeError(caller: string, message: string): SaccadeRangeError {
  return new SaccadeRangeError("ERR_SACCADE_SHAPE", `${caller}: ${message}`);
}

/** Strides or an offset that do not fit. */
export function strideError(caller: string, message: string): SaccadeRangeError {
  return new SaccadeRangeError("ERR_SACCADE_STRIDE", `${caller}: ${message}`);
}

/** A value that is too small or too large. */
export function rangeError(caller: string, message: string): SaccadeRangeError {
  return new SaccadeRangeError("ERR_SACCADE_RANGE", `${caller}: ${message}`);
}

/** What an argument is, and what it should be. */
export function found(name: string, value: unknown, expected: string): string {
  return `${name} is ${describe(value)}; expected ${expected}`;
}

/** An argument of a wrong kind, and what was expected instead. */
export function wrongKind(caller: string, name: string, value: unknown, expected: string): SaccadeTypeError {
  return argumentError(caller, found(name, value, expected));
}

/** An argument of the right kind outside its range, and what was expected instead. */
export function outOfRange(caller: string, name: string, value: unknown, expected: string): SaccadeRangeError {
  return rangeError(caller, found(name, value, expected));
}

/** What should be one of a few words: unknown where it is another one, else of a wrong kind. */
export function wrongWord(caller: string, name: string, value: unknown, expected: string): SaccadeTypeError {
  return (typeof value === "string" ? optionError : argumentError)(caller, found(name, value, expected));
}

/** What should be a number, in a certain range: of a wrong kind where it is none, else out of range. */
export function unfit(caller: string, name: string, value: unknown, expected: string): Error {
  return (typeof value === "number" ? outOfRange : wrongKind)(caller, name, value, expected);
}

/**
 * How a value looks in an error message: short, on one line, and without running any code of the value's own (its
 * `toString`, its getters), since it may be hostile.
 */
export function describe(value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value.length > 40 ? `${value.slice(0, 37)}...` : value);
    case "number":
      return Object.is(value, -0) ? "-0" : String(value);
    case "bigint":
      return `${String(value)}n`;
    case "symbol":
    case "function":
      return `a ${typeof value}`;
    case "object":
      if (value === null) return "null";
      return Array.isArray(value) ? "an array" : "an object";
    default:
      return String(value);
  }
}
