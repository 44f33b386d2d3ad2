/**
 * The threads of an engine, as its calling thread sees them: it opens a job, takes part in it, and waits until every
 * chunk that was taken is done. Threads that end (idle, killed, failed) are replaced when the next job comes; a job never
 * needs any of them.
 */

import { SaccadeError } from "../errors.ts";
import { KIND_OPERATOR, type OperatorExports } from "../wasm/abi.ts";
import type { Phase, TilePool } from "../wasm/dispatch.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import { SHARED_WORK } from "../wasm/sharing.ts";
import {
  close,
  DONE,
  FAILED,
  finish,
  type Job,
  MOST_CHUNKS,
  newControl,
  publish,
  SEQUENCE,
  STATUS,
  take,
} from "./control.ts";
import type { ThreadReason } from "./reason.ts";
import { withSharedMemory } from "./shared-module.ts";
import { Slot, type SlotParts, unref } from "./slot.ts";

/**
 * What taking a chunk and proving its arguments costs every thread, in {@link Phase.work}: about three microseconds. A phase's
 * threads wait for half a chunk in the middle, so the best number of chunks is the root of `work / (2 * cost per chunk and thread)`.
 */
const WORK_OF_A_CHUNK = 64;
/** A thread that has said nothing for this long, and for so many times a chunk of the calling thread, has died or hangs. */
const ANSWER_MS = 5000;
const ANSWER_CHUNKS = 100;
/** Looks before the calling thread parks. */
const SPINS = 10_000;
/** Generations before the word repeats itself. */
const GENERATIONS = 2 ** 22;

export class Pool implements TilePool {
  readonly threads: number;
  readonly change = withSharedMemory;
  readonly leastWork: number;
  readonly #instance: WasmInstance;
  readonly #parts: Omit<SlotParts, "control">;
  #control: Int32Array;
  #slots: (Slot | undefined)[];
  #generation = 0;
  #job: Job | undefined;
  #exports: OperatorExports;
  #chunks = 0;
  #ownChunks = 0;
  #opened = 0;
  #ownEnded = 0;
  #later: ReturnType<typeof setTimeout> | undefined;
  #seenDone = 0;
  #seenAt = 0;
  #trap: { readonly cause: unknown } | undefined;
  #reason: ThreadReason | undefined;
  #disposed = false;

  /** @param threads - threads in all, the calling one included */
  constructor(threads: number, parts: Omit<SlotParts, "control">) {
    this.threads = threads;
    this.leastWork = parts.createWorker.leastWork ?? SHARED_WORK;
    this.#instance = parts.instance;
    this.#exports = parts.instance.exports;
    this.#parts = parts;
    this.#control = newControl();
    this.#slots = new Array(threads - 1).fill(undefined);
  }

  /** Starts all threads; settles when each has answered, failed, or not answered in time. */
  async start(): Promise<void> {
    this.#fill(false);
    await Promise.all(this.#slots.map((slot) => slot?.answered));
  }

  get inUse(): number {
    return 1 + this.#slots.filter((slot) => slot?.isReady).length;
  }

  get reason(): ThreadReason | undefined {
    if (this.inUse === this.threads) return undefined;
    return this.#slots.find((slot) => slot?.reason !== undefined)?.reason ?? this.#reason ?? "idle";
  }

  run(phase: Phase, caller: string): number {
    this.open(phase, caller);
    while (this.step()) {}
    this.#block(caller);
    return this.close(caller);
  }

  /** Opens a job: other threads begin at once. */
  open({ kind, phase, block, pass, tiles, work }: Phase, caller: string): void {
    this.#fill(kind === KIND_OPERATOR);
    const enough = Math.ceil(Math.sqrt((work * this.threads) / (2 * WORK_OF_A_CHUNK)));
    const most = Math.min(tiles, MOST_CHUNKS, this.leastWork === SHARED_WORK ? enough : tiles);
    const tilesPerChunk = Math.ceil(tiles / Math.max(1, most));
    const chunks = Math.ceil(tiles / tilesPerChunk);
    const job: Job = { kind, phase, block, pass, tiles, tilesPerChunk, chunks };
    this.#job = job;
    this.#exports = this.#instance.exportsFor(kind, caller);
    this.#chunks = chunks;
    this.#ownChunks = 0;
    this.#trap = undefined;
    this.#generation = (this.#generation + 1) % GENERATIONS;
    publish(this.#control, this.#generation, job);
    Atomics.notify(this.#control, SEQUENCE, chunks - 1);
    this.#opened = performance.now();
    this.#ownEnded = this.#opened;
    this.#seenDone = 0;
    this.#seenAt = this.#opened;
  }

  get isOpen(): boolean {
    return this.#job !== undefined;
  }

  get share(): number {
    return Atomics.load(this.#control, DONE) / Math.max(1, this.#chunks);
  }

  get isLate(): boolean {
    const now = performance.now();
    const done = Atomics.load(this.#control, DONE);
    if (done !== this.#seenDone) {
      this.#seenDone = done;
      this.#seenAt = now;
    }
    // Of the chunks that this thread ran, and of no later time: a limit that grew as it waits would never be reached.
    const perChunk = (this.#ownEnded - this.#opened) / Math.max(1, this.#ownChunks);
    return now - this.#seenAt > Math.max(ANSWER_MS, ANSWER_CHUNKS * perChunk);
  }

  drain(): void {
    while (take(this.#control, true) >= 0) finish(this.#control, 0, this.#chunks);
  }

  /** Takes a chunk and runs it on this thread; false where there is none left. */
  step(): boolean {
    const chunk = take(this.#control, true);
    if (chunk < 0 || this.#job === undefined) return false;
    const { kind, phase, block, pass, tiles, tilesPerChunk, chunks } = this.#job;
    const from = chunk * tilesPerChunk;
    let status = 0;
    if (this.#trap === undefined) {
      try {
        const to = Math.min(tiles, from + tilesPerChunk);
        status = this.#exports.run(kind, phase, block, pass, from, to, 0);
      } catch (cause) {
        // The chunks that are left are taken and not run, so that the job comes to its end.
        this.#trap = { cause };
      }
    }
    this.#ownChunks += 1;
    this.#ownEnded = performance.now();
    finish(this.#control, status, chunks);
    return true;
  }

  /** Whether every chunk of the job is done. */
  get done(): boolean {
    return Atomics.load(this.#control, DONE) >= this.#chunks;
  }

  /**
   * Ends a job that is {@link done}; the first status that is not 0.
   *
   * @throws SaccadeError `ERR_SACCADE_POISONED` where this thread's wasm trapped, `ERR_SACCADE_WORKER` where another's did
   */
  close(caller: string): number {
    const control = this.#control;
    close(control);
    this.#job = undefined;
    if (this.#trap !== undefined) throw this.#instance.poison(caller, this.#trap.cause);
    const failed = Atomics.load(control, FAILED);
    if (failed !== 0) {
      throw new SaccadeError(
        "ERR_SACCADE_WORKER",
        `${caller}: thread ${failed} of ${this.threads} failed while it computed; it is replaced, and the engine can be used`,
      );
    }
    return Atomics.load(control, STATUS) >>> 0;
  }

  /** Gives a job up of which other threads hold chunks for too long: all threads are ended, and others take their place. */
  abandon(caller: string): SaccadeError {
    const missing = this.#chunks - Atomics.load(this.#control, DONE);
    close(this.#control);
    this.#job = undefined;
    const waited = Math.round(performance.now() - this.#opened);
    // Nobody knows when they really stop writing: what they can reach is not used again until they have.
    const memory = this.#instance.memory(caller);
    const release = memory.scratch.abandon();
    const slots = this.#slots;
    Promise.all(slots.map((slot) => slot?.end())).then(() => {
      release();
      for (const slot of slots) slot?.freeStack(memory);
    });
    this.#slots = new Array(this.threads - 1).fill(undefined);
    this.#control = newControl();
    return new SaccadeError(
      "ERR_SACCADE_TIMEOUT",
      `${caller}: another thread has not answered for too long (${missing} of ${this.#chunks} chunks after ${waited} ms); ` +
        "all threads are started anew, and the engine can be used",
    );
  }

  /** Looks again soon: nobody may call meanwhile, and a place that is empty then would stay so. */
  #fillLater(operators: boolean): void {
    this.#later ??= setTimeout(() => {
      this.#later = undefined;
      this.#fill(operators);
    }, 50);
    unref(this.#later);
  }

  dispose(): void {
    this.#disposed = true;
    clearTimeout(this.#later);
    for (const slot of this.#slots) slot?.end();
    this.#slots.fill(undefined);
  }

  #block(caller: string): void {
    for (let spins = SPINS; spins > 0; spins--) if (this.done) return;
    const control = this.#control;
    for (let seen = Atomics.load(control, DONE); seen < this.#chunks; seen = Atomics.load(control, DONE)) {
      if (this.isLate) throw this.abandon(caller);
      if (canBlock) Atomics.wait(control, DONE, seen, 100);
      else for (let spins = SPINS; spins > 0 && !this.done; spins--);
    }
  }

  /** Starts a thread in every place where none lives, or one that cannot run operators where they are asked for. */
  #fill(operators: boolean): void {
    if (this.#disposed) return;
    for (let i = 0; i < this.#slots.length; i++) {
      const slot = this.#slots[i];
      if (slot?.isTaken && (slot.hasOperators || !operators || slot.reason !== undefined)) continue;
      // Its successor computes with what it has computed with.
      if (slot?.retire() === false) {
        this.#fillLater(operators);
        continue;
      }
      slot?.end();
      this.#slots[i] = new Slot({ ...this.#parts, control: this.#control }, i + 1, slot?.stack);
    }
  }
}

/** The main thread of a page may not wait. */
const canBlock: boolean = (() => {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0);
    return true;
  } catch {
    return false;
  }
})();
