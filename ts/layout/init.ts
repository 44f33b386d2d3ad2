/**
 * Options of `init`, `initSync` and `createEngine`, read once and proved.
 */

import { describe, outOfRange, rangeError, SaccadeError, wrongKind } from "../errors.ts";
import type { CreateWorker } from "../threads/slot.ts";
import type { Build, MemorySize } from "../wasm/instance.ts";
import { optionNames, proveBoolean, proveWord, unknownOption } from "./options.ts";
import { proveSignal } from "./signal.ts";

const KNOWN_SYNC = ["module", "operators", "build", "memory", "warmup", "threads"];
const KNOWN = [...KNOWN_SYNC, "signal", "idleTimeoutMs", "createWorker"];

/** Most threads that can be asked for. */
const MOST_THREADS = 64;
const PAGES_PER_MIB = 16;
const DEFAULT_INITIAL_MIB = 2;
const LARGEST_MIB = 4096;
const DEFAULT_IDLE_MS = 30_000;
/** The longest that timers can wait. */
const MOST_MS = 2 ** 31 - 1;

/** What was really given of the options that shape an engine. */
export interface GivenInit {
  module?: unknown;
  operators?: unknown;
  build?: unknown;
  initialMiB?: number;
  maximumMiB?: number;
  threads?: number | "auto";
  idleTimeoutMs?: number;
  createWorker?: CreateWorker;
}

/** Resolved options of initialisation. */
export interface ResolvedInit {
  readonly module: unknown;
  readonly operators: unknown;
  readonly build: Build;
  readonly memory: MemorySize;
  readonly warmup: boolean;
  readonly signal: AbortSignal | undefined;
  readonly threads: number | "auto";
  readonly idleTimeoutMs: number;
  readonly createWorker: CreateWorker | undefined;
  /** To compare one initialisation with another. */
  readonly given: Readonly<GivenInit>;
}

/** Reads options. `caller` is `init`, `initSync` or `createEngine`. */
export function resolveInit(options: unknown, caller: string): ResolvedInit {
  const known = caller === "initSync" ? KNOWN_SYNC : KNOWN;
  const values: Partial<
    Record<
      "module" | "operators" | "build" | "memory" | "warmup" | "signal" | "threads" | "idleTimeoutMs" | "createWorker",
      unknown
    >
  > = {};
  for (const name of optionNames(options, caller)) {
    const value = (options as Record<string, unknown>)[name];
    if (!known.includes(name)) throw unknownOption(name, known, [], caller);
    if (value === undefined) continue;
    values[name as keyof typeof values] = value;
  }
  const { module, operators, build, memory, warmup, signal } = values;
  const given: GivenInit = {};
  if (module !== undefined) given.module = module instanceof URL ? module.href : module;
  if (operators !== undefined) given.operators = operators instanceof URL ? operators.href : operators;
  if (build !== undefined) given.build = build;
  const threads = resolveThreads(values, given, caller);
  return Object.freeze({
    module,
    operators,
    build: build === undefined ? "strict" : proveWord(build, ["strict", "fast"], caller, "build"),
    memory: resolveMemory(memory, given, caller),
    warmup: warmup === undefined ? false : proveBoolean(warmup, caller, "warmup"),
    signal: proveSignal(signal, caller),
    ...threads,
    given: Object.freeze(given),
  });
}

function resolveThreads(
  values: { readonly threads?: unknown; readonly idleTimeoutMs?: unknown; readonly createWorker?: unknown },
  given: GivenInit,
  caller: string,
): Pick<ResolvedInit, "threads" | "idleTimeoutMs" | "createWorker"> {
  const { threads, idleTimeoutMs, createWorker } = values;
  if (threads !== undefined) given.threads = threads === "auto" ? threads : proveThreads(threads, caller);
  if (caller === "initSync" && threads !== undefined && threads !== 1) {
    throw new SaccadeError(
      "ERR_SACCADE_UNSUPPORTED",
      `initSync: options.threads is ${describe(threads)}, but workers do not start synchronously; use await init()`,
    );
  }
  if (idleTimeoutMs !== undefined) {
    given.idleTimeoutMs = proveNumber(idleTimeoutMs, 0, MOST_MS, caller, "idleTimeoutMs");
  }
  if (createWorker !== undefined) {
    if (typeof createWorker !== "function") {
      throw wrongKind(caller, "options.createWorker", createWorker, "a function that returns a Worker");
    }
    given.createWorker = createWorker as CreateWorker;
  }
  return {
    threads: given.threads ?? 1,
    idleTimeoutMs: given.idleTimeoutMs ?? DEFAULT_IDLE_MS,
    createWorker: given.createWorker,
  };
}

function proveThreads(threads: unknown, caller: string): number {
  if (typeof threads !== "number") {
    throw wrongKind(caller, "options.threads", threads, `a number or "auto"`);
  }
  if (!Number.isInteger(threads) || threads < 1 || threads > MOST_THREADS) {
    throw outOfRange(caller, "options.threads", threads, `an integer from 1 to ${MOST_THREADS}, or "auto"`);
  }
  return threads;
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
    throw rangeError(
      caller,
      `options.memory.initialMiB is ${initial}, above options.memory.maximumMiB, which is ${maximum}`,
    );
  }
  return { initialPages: initial * PAGES_PER_MIB, maximumPages: maximum * PAGES_PER_MIB };
}

function proveMiB(value: unknown, caller: string, name: string): number {
  return proveNumber(value, 1, LARGEST_MIB, caller, `memory.${name}`);
}

function proveNumber(value: unknown, least: number, most: number, caller: string, name: string): number {
  if (typeof value !== "number") {
    throw wrongKind(caller, `options.${name}`, value, "a number");
  }
  if (!Number.isInteger(value) || value < least || value > most) {
    throw outOfRange(caller, `options.${name}`, value, `an integer from ${least} to ${most}`);
  }
  return value;
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
    threads: earlier.threads,
    idleTimeoutMs: earlier.idleTimeoutMs,
    ...(earlier.createWorker === undefined ? {} : { createWorker: earlier.createWorker }),
  };
  const names = Object.keys(later.given) as (keyof GivenInit)[];
  return names.find((name) => !Object.is(later.given[name], effective[name]));
}
