/**
 * Reading a bag of options: own enumerable properties only, each exactly once; a name that is not known is refused,
 * since a typo must not be silent.
 */

import { describe, optionError, SaccadeError, wrongKind, wrongWord } from "../errors.ts";

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
    if (!known.includes(name)) throw unknownOption(name, known, [], caller);
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

/**
 * The error for an option that is not known, or not yet.
 *
 * @param known - names that work
 * @param later - names of the published interface that this version cannot do yet: `ERR_SACCADE_UNSUPPORTED`
 */
export function unknownOption(name: string, known: readonly string[], later: readonly string[], caller: string): Error {
  if (later.includes(name)) {
    return new SaccadeError(
      "ERR_SACCADE_UNSUPPORTED",
      `${caller}: option ${JSON.stringify(name)} is not available in this version`,
    );
  }
  const near = nearest(name, [...known, ...later]);
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
  let bestDistance = Math.max(2, Math.floor(folded.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(folded, fold(candidate), bestDistance);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** `is_causal` and `isCausal` are both near `causal`. */
function fold(name: string): string {
  return name.toLowerCase().replaceAll(/[_-]/g, "");
}

/** Levenshtein (1965): insertions, deletions and replacements between two words; `limit` where there are as many. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return Math.min(row[b.length]!, limit);
}
