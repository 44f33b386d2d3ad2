/**
 * How a worker is made here, said once by each entry: the literal `new URL` that bundlers look for must lie there.
 */

import type { WorkerLike } from "./connection.ts";

let factory: (() => WorkerLike) | undefined;

/** Called by an entry when it is loaded. */
export function setWorkerFactory(make: () => WorkerLike): void {
  factory = make;
}

/** The factory of the entry that was loaded. */
export function workerFactory(): () => WorkerLike {
  if (factory === undefined) {
    throw new Error(
      "saccade/worker: the entry module has not run; a bundler has dropped it (see sideEffects in package.json)",
    );
  }
  return factory;
}
