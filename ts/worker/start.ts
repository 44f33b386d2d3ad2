/**
 * Starting a worker: the script answers, then its engine is ready. What goes wrong on the way is an error with a reason,
 * and leaves no worker behind.
 */

import { SaccadeError } from "../errors.ts";
import { loadGiven, type WasmSource } from "../wasm/given-module.ts";
import { Connection, type ConnectionEvents, type WorkerLike } from "./connection.ts";
import { decodeError } from "./encode-error.ts";
import { type Answer, type HostOptions, PROTOCOL } from "./wire.ts";

/** What is needed to start. */
export interface Start {
  readonly createWorker: () => WorkerLike | PromiseLike<WorkerLike>;
  readonly options: HostOptions;
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number;
}

/** A worker whose engine is ready. */
export interface Started {
  readonly connection: Connection;
  readonly ready: Extract<Answer, { saccade: "ready" }>;
}

const CALLER = "createWorkerEngine";

/** The error for a worker that has ended, or was never there. */
export function lostError(caller: string, reason: string, cause: unknown): SaccadeError {
  return new SaccadeError(
    "ERR_SACCADE_WORKER",
    `${caller}: the worker is lost: ${reason}; make a new one with createWorkerEngine()`,
    { cause },
  );
}

/** Starts a worker. Later events of its connection go to `events`. */
export async function start(
  { createWorker, options, signal, timeoutMs }: Start,
  events: ConnectionEvents,
): Promise<Started> {
  let worker: WorkerLike;
  try {
    worker = await createWorker();
  } catch (cause) {
    throw new SaccadeError(
      "ERR_SACCADE_WORKER",
      `${CALLER}: the worker could not be made (${String(cause)}); the page must allow it: worker-src 'self'`,
      { cause },
    );
  }
  return new Promise((resolve, reject) => {
    let started = false;
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
    const fail = (error: unknown): void => {
      settle();
      connection.end();
      reject(error);
    };
    const abort = (): void => fail(signal!.reason);
    const connection = new Connection(worker, {
      answer(message) {
        if (started) events.answer(message);
        else if (message.saccade === "hello") {
          clearTimeout(timer);
          if (message.protocol !== PROTOCOL) {
            fail(lostError(CALLER, "its script is that of another version", undefined));
          } else if (message.locked) connection.watch(lock);
        } else if (message.saccade === "failed") fail(decodeError(message.error));
        else if (message.saccade === "ready") {
          started = true;
          settle();
          connection.release();
          resolve({ connection, ready: message });
        }
      },
      lost(reason, cause) {
        if (started) events.lost(reason, cause);
        else fail(lostError(CALLER, reason, cause));
      },
    });
    const timer = setTimeout(() => {
      fail(
        new SaccadeError(
          "ERR_SACCADE_TIMEOUT",
          `${CALLER}: the worker has not answered after ${timeoutMs} ms (options.startTimeoutMs); is its script the worker host ` +
            "of this package?",
        ),
      );
    }, timeoutMs);
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) {
      abort();
      return;
    }
    const lock = `saccade-worker-${crypto.randomUUID()}`;
    try {
      connection.post({ saccade: "start", options, lock });
    } catch (cause) {
      fail(lostError(CALLER, "its options could not be posted", cause));
    }
  });
}

/** A source of wasm as something that can be posted: an address, bytes, or a compiled module. */
export async function postableSource(
  source: unknown,
  option: string,
  signal: AbortSignal | undefined,
): Promise<unknown> {
  const given = await (source as WasmSource | PromiseLike<WasmSource> | undefined);
  if (given === undefined) return undefined;
  if (given instanceof URL) return given.href;
  if (typeof given === "string") {
    const page = (globalThis as { document?: { baseURI?: string } }).document?.baseURI;
    return page === undefined ? given : new URL(given, page).href;
  }
  if (ArrayBuffer.isView(given)) return new Uint8Array(given.buffer, given.byteOffset, given.byteLength).slice();
  return given instanceof ArrayBuffer ? given : loadGiven(given, `options.${option}`, {}, signal);
}
