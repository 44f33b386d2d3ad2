/**
 * Reading a call of another system: names as that system spells them or in camelCase, every property exactly once, and
 * nothing passed over in silence.
 */

import { argumentError, optionError, SaccadeError, type SaccadeTypeError, wrongKind } from "../errors.ts";
import { optionNames, unknownOption } from "../layout/options.ts";
import { proveInteger } from "../layout/shape.ts";

type SnakeCase<Name extends string> = Name extends `${infer Head}${infer Tail}`
  ? `${Head extends Lowercase<Head> ? Head : `_${Lowercase<Head>}`}${SnakeCase<Tail>}`
  : Name;

/** Names in camelCase, or as Python and ONNX spell them: `isCausal` or `is_causal`. */
export type Spelled<Call> =
  | Call
  | { readonly [Name in keyof Call as Name extends string ? SnakeCase<Name> : never]: Call[Name] };

/** The properties of a call that are there, under their camelCase names. */
export type Read<Name extends string> = Partial<Record<Name, unknown>>;

/**
 * Reads a bag of arguments. `undefined` and `null` (Python's None) count as absent.
 *
 * @param known - every name that this system has, in camelCase
 * @throws TypeError `ERR_SACCADE_OPTION` for a name that is not known, or is given in both spellings
 */
export function readCall<Name extends string>(call: unknown, known: readonly Name[], caller: string): Read<Name> {
  const read: Read<Name> = {};
  const seen = new Map<string, string>();
  for (const given of optionNames(call, caller)) {
    const name = camelCase(given);
    if (!(known as readonly string[]).includes(name)) throw unknownOption(given, known, caller);
    const other = seen.get(name);
    if (other !== undefined) {
      throw optionError(caller, `${other} and ${given} are the same; give one of them`);
    }
    seen.set(name, given);
    const value = (call as Record<string, unknown>)[given];
    if (value !== undefined && value !== null) read[name as Name] = value;
  }
  return read;
}

/** Reads the inputs of a graph's node, which have one spelling. `undefined` and `null` count as absent. */
export function readInputs<Name extends string>(inputs: unknown, known: readonly Name[], caller: string): Read<Name> {
  if (inputs === undefined) {
    throw argumentError(caller, `inputs is missing; expected { ${known[0]!}, ... }`);
  }
  const read: Read<Name> = {};
  for (const name of optionNames(inputs, caller)) {
    if (!(known as readonly string[]).includes(name)) throw unknownOption(name, known, caller);
    const value = (inputs as Record<string, unknown>)[name];
    if (value !== undefined && value !== null) read[name as Name] = value;
  }
  return read;
}

function camelCase(name: string): string {
  return name.replaceAll(/(?<=[A-Za-z0-9])_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** The error for what the other system can do and `attention` cannot. */
export function unsupported(caller: string, what: string, why: string): SaccadeError {
  return new SaccadeError("ERR_SACCADE_UNSUPPORTED", `${caller}: ${what} cannot be expressed here: ${why}`);
}

/** The error for arguments that contradict each other, in the other system too. */
export function contradiction(caller: string, message: string): SaccadeTypeError {
  return optionError(caller, message);
}

/** A number, or undefined where it is absent. */
export function readNumber(value: unknown, caller: string, name: string): number | undefined {
  if (value === undefined || typeof value === "number") return value;
  throw wrongKind(caller, name, value, "a number");
}

/** A boolean; absent is false. */
export function readBoolean(value: unknown, caller: string, name: string): boolean {
  if (value === undefined) return false;
  if (typeof value === "boolean") return value;
  throw wrongKind(caller, name, value, "true or false");
}

/** An attribute of a graph that is 0 or 1; booleans are taken too, absent is the default. */
export function readFlag(value: unknown, otherwise: boolean, caller: string, name: string): boolean {
  if (value === undefined) return otherwise;
  if (typeof value === "boolean") return value;
  return readInteger(value, 0, 1, caller, name) === 1;
}

/** An integer in `[low, high]`. A bigint is taken, since that is how ONNX's int64 reads in JavaScript. */
export function readInteger(value: unknown, low: number, high: number, caller: string, name: string): number {
  return proveInteger(typeof value === "bigint" ? Number(value) : value, low, high, caller, name);
}

/** Whether dropout asks for nothing: everything here is inference. */
export function refuseDropout(value: unknown, caller: string, name: string): void {
  if ((readNumber(value, caller, name) ?? 0) === 0) return;
  throw unsupported(caller, `${name} ${String(value)}`, "this is inference; only 0 can be given");
}

/** `softcap` as other systems have it: 0 is none. */
export function readSoftcap(value: unknown, caller: string): number | undefined {
  const softcap = readNumber(value, caller, "softcap");
  return softcap === 0 ? undefined : softcap;
}
