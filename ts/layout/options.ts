/**
 * Reading a bag of options: own enumerable properties only, each exactly once; a name that is not known is refused,
 * since a typo must not be silent.
 */

import { describe, optionError, type SaccadeTypeError, wrongKind, wrongWord } from "../errors.ts";

/** Names of an option bag's own properties. `undefined` counts as an empty bag. */
export function optionNames(options: unknown, caller: string): readonly string[] {
  if (options === undefined) return [];
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw wrongKind(caller, "options", options, "an object such as { ... }");
  }
  return Object.keys(options);
}

/** Reads the options that are known, each once, and hands them on. */
export function eachOption(
  options: unknown,
  known: readonly string[],
  caller: string,
  take: (name: string, value: unknown) => void,
): void {
  for (const name of optionNames(options, caller)) {
    if (!known.includes(name)) throw unknownOption(name, known, caller);
    take(name, (options as Record<string, unknown>)[name]);
  }
}

/** Reads the options that are known, each once; `undefined` counts as left out. */
export function readOptions<K extends string>(
  options: unknown,
  known: readonly K[],
  caller: string,
): Partial<Record<K, unknown>> {
  // What Object.prototype has been given is nobody's option.
  const read: Partial<Record<string, unknown>> = Object.create(null);
  eachOption(options, known, caller, (name, value) => {
    read[name] = value;
  });
  return read as Partial<Record<K, unknown>>;
}

/** The error for an option that is not among those known. */
export function unknownOption(name: string, known: readonly string[], caller: string): SaccadeTypeError {
  const near = nearest(name, known);
  const advice = near === undefined ? `the options are ${known.join(", ")}` : `did you mean ${JSON.stringify(near)}?`;
  return optionError(caller, `there is no option ${describe(name)}; ${advice}`);
}

/** Proves a boolean option. */
export function proveBoolean(value: unknown, caller: string, name: string): boolean {
  if (typeof value === "boolean") return value;
  throw wrongKind(caller, `options.${name}`, value, "true or false");
}

/** Proves an option that is one of a few words. */
export function proveWord<W extends string>(value: unknown, words: readonly W[], caller: string, name: string): W {
  if (typeof value === "string" && (words as readonly string[]).includes(value)) return value as W;
  const expected = words.map((each) => JSON.stringify(each)).join(" or ");
  throw wrongWord(caller, `options.${name}`, value, expected);
}

/** The known name that a typo most likely meant. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const folded = fold(name);
  let best: string | undefined;
  let least = Math.max(2, Math.floor(folded.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(folded, fold(candidate));
    if (distance >= least) continue;
    best = candidate;
    least = distance;
  }
  return best;
}

/** `is_causal` and `isCausal` are both near `causal`; of a name far longer than any only the start counts. */
function fold(name: string): string {
  return name.slice(0, 99).toLowerCase().replaceAll(/[_-]/g, "");
}

/** Levenshtein (1965): insertions, deletions and replacements between two words. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (const letter of a) {
    const next = [row[0]! + 1];
    for (let j = 0; j < b.length; j++) {
      next.push(Math.min(row[j]! + Number(letter !== b[j]), row[j + 1]! + 1, next[j]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
