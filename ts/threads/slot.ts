/**
 * One place for a thread: starting a worker, hearing of its fate, ending it. Workers of Node speak through an event
 * emitter, those of the web through event targets; nothing else differs here.
 */

import type { WasmInstance } from "../wasm/instance.ts";
import type { LinearMemory } from "../wasm/memory.ts";
import { isRefusedByPolicy, noteRefusedByPolicy } from "./availability.ts";
import {
  ENDED,
  READY,
  RETIRED,
  SEQUENCE,
  STARTING,
  STATE,
  type StartMessage,
  THREW,
  type ThreadMessage,
  WORKING,
} from "./control.ts";
import type { ThreadReason } from "./reason.ts";

/** What a thread runs in: a `Worker` of the web or of `node:worker_threads`, or anything that behaves like one. */
export interface ThreadWorker {
  postMessage(message: unknown): void;
  terminate(): unknown;
}

/** Makes a worker that runs the package's thread file. */
export interface CreateWorker {
  (): ThreadWorker;
  /** @internal For tests: shares calls that are not worth it. */
  readonly leastWork?: number;
}

/** What all threads of an engine are started with. */
export interface SlotParts {
  readonly createWorker: CreateWorker;
  readonly module: WebAssembly.Module;
  readonly instance: WasmInstance;
  readonly control: Int32Array;
  readonly idleTimeoutMs: number;
}

/** A worker that has not answered after this long is no longer waited for. */
const HANDSHAKE_MS = 5000;
/**
 * A worker that has been ended may go on for a while (Deno stops it after two seconds): if it has not said by then that it
 * is done with its chunk, it never will.
 */
const LAST_BREATH_MS = 3000;
const STACK_BYTE_LENGTH = 65536;

/** What workers of Node have beside the rest. */
interface Emitter {
  on(event: string, listener: (value: unknown) => void): void;
  ref?(): void;
  unref?(): void;
}

interface Target {
  addEventListener(event: string, listener: (event: { data?: unknown; message?: string }) => void): void;
}

export class Slot {
  /** Settles when the worker has answered, failed, or not answered in time. */
  readonly answered: Promise<void>;
  /** Whether it was given the module of the operators. */
  readonly hasOperators: boolean;
  /** Address of its stack. */
  readonly stack: number;
  readonly #control: Int32Array;
  readonly #life = new Int32Array(new SharedArrayBuffer(8));
  #retired = 0;
  #worker: ThreadWorker | undefined;
  #reason: ThreadReason | undefined;
  #ready = false;
  #settle: () => void = () => {};

  /** @param stack - the stack of an earlier thread in this place, which has ended */
  constructor(parts: SlotParts, thread: number, stack: number | undefined) {
    this.#control = parts.control;
    this.hasOperators = parts.instance.operatorsModule !== undefined;
    this.stack = stack ?? parts.instance.memory("threads").take(STACK_BYTE_LENGTH, "threads");
    this.answered = new Promise((resolve) => {
      this.#settle = resolve;
    });
    try {
      this.#start(parts, thread);
    } catch (error) {
      if (error instanceof Error && error.name === "SecurityError") noteRefusedByPolicy();
      this.#fail("worker-error");
    }
  }

  /** Why no thread runs in this place, and none will: it could not be started. */
  get reason(): ThreadReason | undefined {
    if (this.#reason === "worker-error" && isRefusedByPolicy()) return "csp";
    return this.#reason === "handshake-timeout" && this.#ready ? undefined : this.#reason;
  }

  /** Whether a thread lives in this place, or none can: one that has ended or failed at its work makes room for another. */
  get isTaken(): boolean {
    if (this.reason !== undefined) return true;
    const state = Atomics.load(this.#life, STATE);
    return this.#retired === 0 && state !== ENDED && state !== THREW;
  }

  /** Whether it takes chunks when there are some. */
  get isReady(): boolean {
    const state = Atomics.load(this.#life, STATE);
    return this.#retired === 0 && (state === READY || state === WORKING);
  }

  /**
   * Says that this thread is to take no chunk any more; whether it certainly takes none, so that what it computes with
   * (its stack, its part of the scratch memory) can be another's.
   */
  retire(): boolean {
    if (this.#retired === 0) {
      this.#retired = performance.now();
      Atomics.store(this.#life, RETIRED, 1);
      // One that is parked should know.
      Atomics.notify(this.#control, SEQUENCE);
    }
    return Atomics.load(this.#life, STATE) !== WORKING || performance.now() - this.#retired > LAST_BREATH_MS;
  }

  /** Gives the stack of a thread that has stopped back. */
  freeStack(memory: LinearMemory): void {
    memory.giveBack(this.stack, STACK_BYTE_LENGTH);
  }

  /** Ends the thread; resolves when it has stopped, as far as that can be known. */
  async end(): Promise<void> {
    this.#settle();
    const worker = this.#worker;
    this.#worker = undefined;
    this.retire();
    await worker?.terminate();
    while (!this.retire()) await new Promise((resolve) => unref(setTimeout(resolve, 50)));
  }

  #start(parts: SlotParts, thread: number): void {
    const worker = parts.createWorker();
    this.#worker = worker;
    const lost = (): void => {
      if (this.#worker !== worker) return;
      // It may have started and been lost before its answer was heard.
      if (!this.#ready && Atomics.load(this.#life, STATE) === STARTING) this.#fail("worker-error");
      this.retire();
    };
    const heard = (message: ThreadMessage): void => {
      if (message?.saccade === "ready") {
        this.#ready = true;
        this.#settle();
      } else if (message?.saccade === "failed" && !this.#ready) this.#fail("worker-error");
    };
    if (isEmitter(worker)) {
      worker.on("message", (message) => heard(message as ThreadMessage));
      worker.on("error", lost);
      worker.on("exit", lost);
    } else {
      heedPolicy();
      const target = worker as unknown as Target;
      target.addEventListener("message", ({ data }) => heard(data as ThreadMessage));
      target.addEventListener("error", lost);
      target.addEventListener("messageerror", lost);
    }
    const message: StartMessage = {
      saccade: "start",
      module: parts.module,
      operators: parts.instance.operatorsModule,
      memory: parts.instance.wasmMemory,
      control: parts.control.buffer as SharedArrayBuffer,
      life: this.#life.buffer,
      thread,
      stack: this.stack + STACK_BYTE_LENGTH,
      idleTimeoutMs: parts.idleTimeoutMs,
    };
    worker.postMessage(message);
    const timer = setTimeout(() => {
      if (this.#ready || this.#reason !== undefined) return;
      this.#reason = "handshake-timeout";
      this.#settle();
    }, HANDSHAKE_MS);
    // While it starts, a program of Node waits for it; afterwards it must be able to end.
    this.answered.then(() => {
      clearTimeout(timer);
      if (isEmitter(worker)) worker.unref?.();
    });
  }

  #fail(reason: ThreadReason): void {
    this.#reason = reason;
    Atomics.store(this.#life, STATE, THREW);
    this.#settle();
  }
}

/** What is waited for here must not keep a program of Node from ending. */
export function unref(timer: unknown): void {
  (timer as { unref?(): void }).unref?.();
}

function isEmitter(worker: object): worker is ThreadWorker & Emitter {
  return "on" in worker && typeof worker.on === "function";
}

let isHeeding = false;

/** A worker that the content security policy forbids fails as any other does; the reason comes as an event of the page. */
function heedPolicy(): void {
  if (isHeeding) return;
  isHeeding = true;
  (globalThis as unknown as PolicyTarget).addEventListener?.("securitypolicyviolation", ({ effectiveDirective }) => {
    if (effectiveDirective === "worker-src") noteRefusedByPolicy();
  });
}

interface PolicyTarget {
  addEventListener?(event: string, listener: (event: { readonly effectiveDirective?: string }) => void): void;
}
