/**
 * Options of `init`, `initSync` and `createEngine`, read once and proved.
 */

import { rangeError, wrongKind } from "../errors.ts";
import type { CreateWorker } from "../threads/slot.ts";
import type { Build, MemorySize } from "../wasm/instance.ts";
import { proveBoolean, proveWord, readOptions } from "./options.ts";
import { I32_MAXIMUM, proveInteger } from "./shape.ts";
import { proveSignal } from "./signal.ts";

export const KNOWN_SYNC = ["module", "operators", "build", "memory", "warmup", "threads"] as const;
const KNOWN = [...KNOWN_SYNC, "signal", "idleTimeoutMs", "createWorker"] as const;

/** Most threads that can be asked for. */
const MOST_THREADS = 64;
const PAGES_PER_MIB = 16;
const DEFAULT_INITIAL_MIB = 2;
const LARGEST_MIB = 4096;
const DEFAULT_IDLE_MS = 30_000;

/** The options that shape an engine. */
interface Shaping {
  /** A URL as the text that it is. */
  readonly module: unknown;
  readonly operators: unknown;
  readonly build: Build;
  readonly initialMiB: number;
  readonly maximumMiB: number;
  readonly threads: number | "auto";
  readonly idleTimeoutMs: number;
  readonly createWorker: CreateWorker | undefined;
}

/** Resolved options of initialisation. */
export interface ResolvedInit extends Shaping {
  readonly memory: MemorySize;
  readonly warmup: boolean;
  readonly signal: AbortSignal | undefined;
  /** What was really given, to compare one initialisation with another. */
  readonly given: Readonly<Partial<Shaping>>;
}

/** Reads options, of those that are known to `caller`: `init`, `initSync` or `createEngine`. */
export function resolveInit(
  options: unknown,
  caller: string,
  known: readonly (typeof KNOWN)[number][] = KNOWN,
): ResolvedInit {
  const values = readOptions<(typeof KNOWN)[number]>(options, known, caller);
  const { module, operators, build, memory, warmup, threads, idleTimeoutMs, createWorker } = values;
  const { initialMiB, maximumMiB } = readOptions(memory, ["initialMiB", "maximumMiB"], `${caller}: options.memory`);
  const integer = (value: unknown, low: number, high: number, name: string, or?: string): number | undefined =>
    value === undefined ? undefined : proveInteger(value, low, high, caller, `options.${name}`, or);
  const given = {
    module: textOf(module),
    operators: textOf(operators),
    build: build === undefined ? undefined : proveWord(build, ["strict", "fast"], caller, "build"),
    initialMiB: integer(initialMiB, 1, LARGEST_MIB, "memory.initialMiB"),
    maximumMiB: integer(maximumMiB, 1, LARGEST_MIB, "memory.maximumMiB"),
    threads: threads === "auto" ? (threads as "auto") : integer(threads, 1, MOST_THREADS, "threads", ', or "auto"'),
    idleTimeoutMs: integer(idleTimeoutMs, 0, I32_MAXIMUM, "idleTimeoutMs"),
    createWorker: createWorker as CreateWorker | undefined,
  };
  if (createWorker !== undefined && typeof createWorker !== "function") {
    throw wrongKind(caller, "options.createWorker", createWorker, "a function that returns a Worker");
  }
  const maximum = given.maximumMiB ?? LARGEST_MIB;
  const initial = given.initialMiB ?? Math.min(DEFAULT_INITIAL_MIB, maximum);
  if (initial > maximum) {
    const message = `options.memory.initialMiB is ${initial}, above options.memory.maximumMiB, which is ${maximum}`;
    throw rangeError(caller, message);
  }
  return Object.freeze({
    ...given,
    build: given.build ?? "strict",
    initialMiB: initial,
    maximumMiB: maximum,
    threads: given.threads ?? 1,
    idleTimeoutMs: given.idleTimeoutMs ?? DEFAULT_IDLE_MS,
    memory: { initialPages: initial * PAGES_PER_MIB, maximumPages: maximum * PAGES_PER_MIB },
    warmup: warmup === undefined ? false : proveBoolean(warmup, caller, "warmup"),
    signal: proveSignal(values.signal, caller),
    given: given as Partial<Shaping>,
  });
}

function textOf(source: unknown): unknown {
  return source instanceof URL ? source.href : source;
}

/** The first option that `later` gives otherwise than `earlier`, if any: what is not given never conflicts. */
export function conflictOf(earlier: ResolvedInit, { given }: ResolvedInit): string | undefined {
  return (Object.keys(given) as (keyof Shaping)[]).find((name) => {
    // An engine without operators can be given them later.
    const isNew = name === "operators" && earlier.operators === undefined;
    return !isNew && given[name] !== undefined && given[name] !== earlier[name];
  });
}
