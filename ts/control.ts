/**
 * Options that steer a call which is not answered at once, beside those that say what it computes.
 */

/** How far a call has come. */
export interface Progress {
  /** Pieces of work that are done: it never falls, and the last report says `total`. */
  readonly done: number;
  /** Pieces of work of the whole call. They are of unequal size. */
  readonly total: number;
}

/** Options that every call takes which is answered by a promise. */
export interface AsyncOptions {
  /** Stops the call: the promise rejects with the signal's reason at once. */
  readonly signal?: AbortSignal | undefined;
  /** Told how far the call has come. What it throws stops the call, and the promise rejects with it. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}
