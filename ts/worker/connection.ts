/**
 * The line to a worker, be it a browser's or one of Node's: what is posted, what arrives, and the news that it is gone.
 */

import { type Answer, isOurs, type Request } from "./wire.ts";

/** A worker: a browser's `Worker`, or that of `node:worker_threads`. */
export interface WorkerLike {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  terminate(): unknown;
}

/** What both kinds of worker can be listened to by. */
interface Events {
  addEventListener?(name: string, listener: (event: Event) => void): void;
  on?(name: string, listener: (value: unknown) => void): void;
  ref?(): void;
  unref?(): void;
}

/** What a connection tells its owner. */
export interface ConnectionEvents {
  answer(message: Answer): void;
  /** It has ended, or can no longer be relied on. Told once. */
  lost(reason: string, cause: unknown): void;
}

export class Connection {
  readonly #worker: WorkerLike & Events;
  readonly #events: ConnectionEvents;
  readonly #watch = new AbortController();
  #ended = false;

  constructor(worker: WorkerLike, events: ConnectionEvents) {
    this.#worker = worker;
    this.#events = events;
    const receive = (message: unknown): void => {
      if (!this.#ended && isOurs(message)) events.answer(message as Answer);
    };
    const lose = (reason: string) => (cause: unknown) => this.#lose(reason, cause);
    const { on, addEventListener } = this.#worker;
    if (on !== undefined) {
      this.#worker.on!("message", receive);
      this.#worker.on!("error", lose("it threw"));
      this.#worker.on!("messageerror", lose("a message could not be read"));
      this.#worker.on!("exit", (code) => this.#lose(`it ended with code ${code}`, undefined));
    } else if (addEventListener !== undefined) {
      this.#worker.addEventListener!("message", (event) => receive((event as MessageEvent).data));
      this.#worker.addEventListener!("messageerror", () => this.#lose("a message could not be read", undefined));
      this.#worker.addEventListener!("error", (event) => {
        const { message, error } = event as ErrorEvent;
        // A script that cannot be loaded, or that the policy of the page forbids, is an event without a message.
        this.#lose(message ? `it threw (${message})` : "its script could not be loaded", error);
      });
    }
  }

  /** Posts a request, and the buffers that belong to it. */
  post(message: Request, transfer: readonly ArrayBuffer[] = []): void {
    if (!this.#ended) this.#worker.postMessage(message, [...transfer]);
  }

  /** While held, a program does not end. */
  hold(): void {
    this.#worker.ref?.();
  }

  /** Lets a program end although the worker waits for work. */
  release(): void {
    this.#worker.unref?.();
  }

  /**
   * Notices when a browser's worker ends without a word, which no event tells: the worker holds a lock of this name as long
   * as it lives.
   */
  watch(lock: string): void {
    if (this.#worker.on !== undefined) return;
    navigator.locks
      .request(lock, { signal: this.#watch.signal }, () => this.#lose("it ended", undefined))
      // Aborted when this side ends the worker.
      .catch(() => {});
  }

  /** Ends the worker. May be called again. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#watch.abort();
    this.#worker.terminate();
  }

  #lose(reason: string, cause: unknown): void {
    if (this.#ended) return;
    this.end();
    this.#events.lost(reason, cause);
  }
}
