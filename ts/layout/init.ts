/**
 * Options of `init`, `initSync` and `createEngine`, read once and proved.
 */

import { describe, SaccadeError, SaccadeRangeError, SaccadeTypeError } from "../errors.ts";
import type { Build, MemorySize } from "../wasm/instance.ts";
import { optionNames, proveBoolean, proveWord, unknownOption } from "./options.ts";

const KNOWN = ["module", "operators", "build", "memory", "warmup", "signal", "threads"];
const KNOWN_SYNC = ["module", "operators", "build", "memory", "warmup", "threads"];
const LATER = ["idleTimeoutMs", "createWorker"];

const PAGES_PER_MIB = 16;
const DEFAULT_INITIAL_MIB = 2;
const LARGEST_MIB = 4096;

/** What was really given of the options that shape an engine. */
export interface GivenInit {
  module?: unknown;
  operators?: unknown;
  build?: unknown;
  initialMiB?: number;
  maximumMiB?: number;
}

/** Resolved options of initialisation. */
export interface ResolvedInit {
  readonly module: unknown;
  readonly operators: unknown;
  readonly build: Build;
  readonly memory: MemorySize;
  readonly warmup: boolean;
  readonly signal: AbortSignal | undefined;
  /** To compare one initialisation with another. */
  readonly given: Readonly<GivenInit>;
}

/** Reads options. `caller` is `init`, `initSync` or `createEngine`. */
export function resolveInit(options: unknown, caller: string): ResolvedInit {
  const known = caller === "initSync" ? KNOWN_SYNC : KNOWN;
  const values: Partial<
    Record<"module" | "operators" | "build" | "memory" | "warmup" | "signal" | "threads", unknown>
  > = {};
  for (const name of optionNames(options, caller)) {
    const value = (options as Record<string, unknown>)[name];
    if (value === undefined && (known.includes(name) || LATER.includes(name))) continue;
    if (!known.includes(name)) throw unknownOption(name, known, LATER, caller);
    values[name as keyof typeof values] = value;
  }
  const { module, operators, build, memory, warmup, signal, threads } = values;
  if (threads !== undefined && threads !== 1) {
    throw new SaccadeError(
      "ERR_SACCADE_UNSUPPORTED",
      `${caller}: options.threads is ${describe(threads)}; this version runs on one thread (threads: 1)`,
    );
  }
  const given: GivenInit = {};
  if (module !== undefined) given.module = module instanceof URL ? module.href : module;
  if (operators !== undefined) given.operators = operators instanceof URL ? operators.href : operators;
  if (build !== undefined) given.build = build;
  return Object.freeze({
    module,
    operators,
    build: build === undefined ? "strict" : proveWord(build, ["strict", "fast"], caller, "build"),
    memory: resolveMemory(memory, given, caller),
    warmup: warmup === undefined ? false : proveBoolean(warmup, caller, "warmup"),
    signal: proveSignal(signal, caller),
    given: Object.freeze(given),
  });
}

function resolveMemory(memory: unknown, given: GivenInit, caller: string): MemorySize {
  let initialMiB: number | undefined;
  let maximumMiB: number | undefined;
  for (const name of optionNames(memory, `${caller}: options.memory`)) {
    const value = (memory as Record<string, unknown>)[name];
    if (name !== "initialMiB" && name !== "maximumMiB") {
      throw unknownOption(name, ["initialMiB", "maximumMiB"], [], `${caller}: options.memory`);
    }
    if (value === undefined) continue;
    const proved = proveMiB(value, caller, name);
    given[name] = proved;
    if (name === "initialMiB") initialMiB = proved;
    else maximumMiB = proved;
  }
  const maximum = maximumMiB ?? LARGEST_MIB;
  const initial = initialMiB ?? Math.min(DEFAULT_INITIAL_MIB, maximum);
  if (initial > maximum) {
    throw new SaccadeRangeError(
      "ERR_SACCADE_RANGE",
      `${caller}: options.memory.initialMiB is ${initial}, above options.memory.maximumMiB, which is ${maximum}`,
    );
  }
  return { initialPages: initial * PAGES_PER_MIB, maximumPages: maximum * PAGES_PER_MIB };
}

function proveMiB(value: unknown, caller: string, name: string): number {
  if (typeof value !== "number") {
    throw new SaccadeTypeError(
      "ERR_SACCADE_ARGUMENT",
      `${caller}: options.memory.${name} is ${describe(value)}; expected a number`,
    );
  }
  if (!Number.isInteger(value) || value < 1 || value > LARGEST_MIB) {
    throw new SaccadeRangeError(
      "ERR_SACCADE_RANGE",
      `${caller}: options.memory.${name} is ${describe(value)}; expected an integer from 1 to ${LARGEST_MIB}`,
    );
  }
  return value;
}

function proveSignal(signal: unknown, caller: string): AbortSignal | undefined {
  if (signal === undefined) return undefined;
  const isSignal = typeof signal === "object" && signal !== null && "aborted" in signal && "addEventListener" in signal;
  if (isSignal) return signal as AbortSignal;
  throw new SaccadeTypeError(
    "ERR_SACCADE_ARGUMENT",
    `${caller}: options.signal is ${describe(signal)}; expected an AbortSignal`,
  );
}

/** The first option that `later` gives otherwise than `earlier`, if any: what is not given never conflicts. */
export function conflictOf(earlier: ResolvedInit, later: ResolvedInit): string | undefined {
  const effective: GivenInit = {
    module: earlier.given.module,
    // An engine without operators can be given them later.
    operators: earlier.given.operators ?? later.given.operators,
    build: earlier.build,
    initialMiB: earlier.memory.initialPages / PAGES_PER_MIB,
    maximumMiB: earlier.memory.maximumPages / PAGES_PER_MIB,
  };
  const names = Object.keys(later.given) as (keyof GivenInit)[];
  return names.find((name) => !Object.is(later.given[name], effective[name]));
}
