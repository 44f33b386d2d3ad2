/**
 * A call that is recorded now and run later, a piece at a time. The direct function runs as ever, on an instance that stands
 * in a frame of the job's own (its arena, its argument blocks): inputs are captured and places found, but where it would run
 * tiles it leaves steps, and what it would do with their results it leaves behind them. Between two pieces the instance
 * stands where it stood, so that any other call can run.
 */

import { SaccadeError } from "../errors.ts";
import { ATTENTION_BYTE_LENGTH } from "./abi.ts";
import type { Phase, Steps } from "./dispatch.ts";
import type { WasmInstance } from "./instance.ts";
import type { LinearMemory } from "./memory.ts";
import { OPERATOR_BYTE_LENGTH } from "./operator-block.ts";
import type { Scratch } from "./scratch.ts";

let recording: Job | undefined;

/** The error for a call that would change what an asynchronous one is using, or read what it has still to write. */
export function busy(caller: string, name: string): SaccadeError {
  return new SaccadeError(
    "ERR_SACCADE_BUSY",
    `${caller}: ${name} is in use by an asynchronous call that has not ended; await its promise first, or make this call by its ` +
      "asynchronous twin, which waits its turn",
  );
}

/** The job that records the running call, if it is one of this instance. */
export function recordingOf(instance: WasmInstance): Job | undefined {
  return recording !== undefined && recording.instance === instance ? recording : undefined;
}

/** Runs what needs the results of everything before it: now, or in its turn where the call is recorded. */
export function afterwards(instance: WasmInstance, action: () => void): void {
  const job = recordingOf(instance);
  if (job === undefined) action();
  else job.add(0, () => once(action));
}

// biome-ignore lint/correctness/useYield: a step that runs no tiles
function* once(action: () => void): Steps<void> {
  action();
}

export class Job {
  readonly instance: WasmInstance;
  readonly caller: string;
  readonly #memory: LinearMemory;
  readonly #arena: Scratch;
  readonly #argumentBlock: number;
  readonly #operatorBlock: number;
  readonly #steps: (() => Steps<void>)[] = [];
  readonly #releases: (() => void)[] = [];
  #running: Steps<void> | undefined;
  #total = 0;
  #closed = false;
  #leave: () => void = () => {};

  /** @throws SaccadeError as `WasmInstance.memory`; `ERR_SACCADE_OUT_OF_MEMORY` */
  constructor(instance: WasmInstance, caller: string) {
    this.instance = instance;
    this.caller = caller;
    this.#memory = instance.memory(caller);
    this.#arena = this.#memory.openArena();
    try {
      this.#argumentBlock = this.#arena.allocate(ATTENTION_BYTE_LENGTH, caller);
      this.#operatorBlock = this.#arena.allocate(OPERATOR_BYTE_LENGTH, caller);
    } catch (error) {
      this.#memory.closeArena(this.#arena);
      throw error;
    }
  }

  /** What there is to do in all, in {@link Phase.work}. */
  get total(): number {
    return this.#total;
  }

  /** From here on the running call is recorded, until {@link end}. May be called again in between. */
  begin(): void {
    if (recording === this) return;
    this.#leave = this.#enter();
    recording = this;
  }

  /** Ends the record. */
  end(): void {
    if (recording !== this) return;
    recording = undefined;
    this.#leave();
  }

  /** Leaves work for later. */
  add(work: number, steps: () => Steps<void>): void {
    this.#total += work;
    this.#steps.push(steps);
  }

  /** Says what is to be given up with the job. */
  hold(release: () => void): void {
    this.#releases.push(release);
  }

  /** Goes on to the next phase that is to be run; undefined where all is done. */
  next(): Phase | undefined {
    return this.within(() => {
      for (;;) {
        this.#running ??= this.#steps.shift()?.();
        if (this.#running === undefined) return undefined;
        const { done, value } = this.#running.next();
        if (!done) return value;
        this.#running = undefined;
      }
    });
  }

  /** Runs something where the job's memory is the instance's. */
  within<T>(body: () => T): T {
    const leave = this.#enter();
    try {
      return body();
    } finally {
      leave();
    }
  }

  /** Gives everything back, done or not. May be called again. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#running?.return();
    this.#memory.closeArena(this.#arena);
    for (const release of this.#releases) release();
  }

  #enter(): () => void {
    const { instance } = this;
    const memory = this.#memory;
    const { argumentBlock, operatorBlock } = instance;
    const { scratch } = memory;
    memory.scratch = this.#arena;
    instance.argumentBlock = this.#argumentBlock;
    instance.operatorBlock = this.#operatorBlock;
    return () => {
      memory.scratch = scratch;
      instance.argumentBlock = argumentBlock;
      instance.operatorBlock = operatorBlock;
    };
  }
}
