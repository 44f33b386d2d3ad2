/**
 * Options of `createWorkerEngine`, read once and proved.
 */

import { outOfRange, wrongKind } from "../errors.ts";
import type { WorkerLike } from "../worker/connection.ts";
import { resolveInit } from "./init.ts";
import { readOptions } from "./options.ts";

const CALLER = "createWorkerEngine";
const ENGINE = ["module", "operators", "build", "memory", "warmup", "signal", "threads"] as const;
const DEFAULT_START_TIMEOUT_MS = 30_000;
/** The longest time that timers know. */
const LONGEST_MS = 2 ** 31 - 1;

/** Resolved options. */
export interface ResolvedWorker {
  readonly module: unknown;
  readonly operators: unknown;
  /** For the engine in the worker, as they were given. */
  readonly engine: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal | undefined;
  readonly createWorker: (() => WorkerLike | PromiseLike<WorkerLike>) | undefined;
  readonly startTimeoutMs: number;
}

/** Reads options. */
export function resolveWorker(options: unknown): ResolvedWorker {
  const { createWorker, startTimeoutMs, ...read } = readOptions(
    options,
    [...ENGINE, "createWorker", "startTimeoutMs"] as const,
    CALLER,
  );
  // The worker would say the same, but only once it runs.
  const { signal } = resolveInit(read, CALLER);
  const { module, operators, signal: _, ...engine } = read;
  if (createWorker !== undefined && typeof createWorker !== "function") {
    throw wrongKind(CALLER, "options.createWorker", createWorker, "a function that makes a worker");
  }
  return {
    module,
    operators,
    engine,
    signal,
    createWorker: createWorker as ResolvedWorker["createWorker"],
    startTimeoutMs: startTimeoutMs === undefined ? DEFAULT_START_TIMEOUT_MS : proveTime(startTimeoutMs),
  };
}

function proveTime(value: unknown): number {
  if (typeof value !== "number") {
    throw wrongKind(CALLER, "options.startTimeoutMs", value, "a number of milliseconds");
  }
  if (value > 0 && value <= LONGEST_MS) return value;
  throw outOfRange(CALLER, "options.startTimeoutMs", value, `milliseconds, more than 0 and at most ${LONGEST_MS}`);
}
