/**
 * The calls to one worker: first come, first served, one at a time, so that what has not begun can be dropped.
 */

import type { Controls } from "../layout/control.ts";
import type { Connection } from "./connection.ts";
import { decodeError } from "./encode-error.ts";
import type { Answer, CacheState, Encoded, Request } from "./wire.ts";

/** A call, ready to be posted. */
export interface Call {
  readonly request: Extract<Request, { saccade: "call" }>;
  readonly controls: Pick<Controls, "signal" | "onProgress">;
  /** Makes the result of what was sent. */
  readonly decode: (value: Encoded) => unknown;
  /** Told the lengths of the cache that was called. */
  readonly note: ((state: CacheState) => void) | undefined;
  /** Gives back what a call made that nobody waits for any more. */
  readonly discard: (value: Encoded) => void;
}

interface Pending extends Call {
  /** Settles the promise, unless it is settled. */
  readonly settle: (outcome: { readonly value: unknown } | { readonly error: unknown }) => void;
  readonly isSettled: () => boolean;
}

type Waiting = Pending | { readonly request: Extract<Request, { saccade: "release" }> };

export class Calls {
  readonly #connection: Connection;
  readonly #waiting: Waiting[] = [];
  #running: Pending | undefined;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Puts a call behind those that wait. */
  submit(call: Call): Promise<unknown> {
    const { signal } = call.controls;
    return new Promise((resolve, reject) => {
      let settled = false;
      const abort = (): void => {
        pending.settle({ error: signal!.reason });
        this.#drop(pending);
      };
      const pending: Pending = {
        ...call,
        isSettled: () => settled,
        settle: (outcome) => {
          if (settled) return;
          settled = true;
          signal?.removeEventListener("abort", abort);
          if ("value" in outcome) resolve(outcome.value);
          else reject(outcome.error);
        },
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.#connection.hold();
      this.#waiting.push(pending);
      this.#next();
    });
  }

  /** Gives a handle up once every earlier call has run. */
  release(handle: number): void {
    this.#waiting.push({ request: { saccade: "release", handle } });
    this.#next();
  }

  /** Takes an answer that belongs to the running call. */
  answered(answer: Extract<Answer, { readonly id: number }>): void {
    const running = this.#running;
    if (running === undefined || running.request.id !== answer.id) return;
    if (answer.saccade === "progress") {
      this.#report(running, answer);
      return;
    }
    this.#running = undefined;
    if (answer.state !== undefined) running.note?.(answer.state);
    if (answer.saccade === "error") running.settle({ error: decodeError(answer.error) });
    else if (running.isSettled()) running.discard(answer.value);
    else running.settle({ value: running.decode(answer.value) });
    this.#next();
  }

  /** Rejects everything that has not been answered. */
  fail(error: (caller: string) => Error): void {
    const unanswered = [...(this.#running === undefined ? [] : [this.#running]), ...this.#waiting];
    this.#running = undefined;
    this.#waiting.length = 0;
    for (const call of unanswered) if ("settle" in call) call.settle({ error: error(call.request.name) });
  }

  #next(): void {
    while (this.#running === undefined) {
      const next = this.#waiting.shift();
      if (next === undefined) {
        this.#connection.release();
        return;
      }
      if ("settle" in next) {
        this.#running = next;
        this.#connection.post(next.request, next.request.args.buffers);
      } else this.#connection.post(next.request);
    }
  }

  /** Forgets a call that waits; one that runs is told to stop, and its answer is waited for. */
  #drop(call: Pending): void {
    if (this.#running === call) {
      this.#connection.post({ saccade: "abort", id: call.request.id });
      return;
    }
    const at = this.#waiting.indexOf(call);
    if (at >= 0) this.#waiting.splice(at, 1);
    this.#next();
  }

  #report(call: Pending, { done, total }: { readonly done: number; readonly total: number }): void {
    if (call.isSettled()) return;
    try {
      call.controls.onProgress?.({ done, total });
    } catch (error) {
      call.settle({ error });
      this.#drop(call);
    }
  }
}
