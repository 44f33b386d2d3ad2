/**
 * A call that is recorded now and run later, a piece at a time. The direct function runs as ever, on an instance that stands
 * in a frame of the job's own (its arena, its argument blocks): inputs are captured and places found, but where it would run
 * tiles it leaves steps, and what it would do with their results it leaves behind them. Between two pieces the instance
 * stands where it stood, so that any other call can run.
 */

import { SaccadeError } from "../errors.ts";
import { ATTENTION_BYTE_LENGTH } from "./abi.ts";
import type { AttentionOutcome } from "./attention.ts";
import { recordAttention } from "./attention-record.ts";
import type { AttentionCall } from "./call.ts";
import type { Phase, Steps } from "./dispatch.ts";
import type { WasmInstance } from "./instance.ts";
import type { LinearMemory } from "./memory.ts";
import { OPERATOR_BYTE_LENGTH } from "./operator-block.ts";
import { recordingOf, setRecording } from "./recording.ts";
import type { Resident, ResidentUsers } from "./resident.ts";
import { Scratch } from "./scratch.ts";

/** The error for a call that would change what an asynchronous one is using, or read what it has still to write. */
export function busy(caller: string, name: string): SaccadeError {
  return new SaccadeError(
    "ERR_SACCADE_BUSY",
    `${caller}: ${name} is in use by an asynchronous call that has not ended; await its promise first, or make this call by its ` +
      "asynchronous twin, which waits its turn",
  );
}

/** The calls under way that use a resident. */
class Users implements ResidentUsers {
  #readers = 0;
  #writers = 0;

  get count(): number {
    return this.#readers + this.#writers;
  }

  prove(writes: boolean, caller: string, name: string): void {
    if (this.#writers > 0 || (writes && this.#readers > 0)) throw busy(caller, name);
  }

  /** Adds a call, or with -1 takes it away again. */
  add(writes: boolean, change: 1 | -1): void {
    if (writes) this.#writers += change;
    else this.#readers += change;
  }
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
    this.#arena = new Scratch(this.#memory);
    this.#memory.arenas.add(this.#arena);
    try {
      this.#argumentBlock = this.#arena.allocate(ATTENTION_BYTE_LENGTH, caller);
      this.#operatorBlock = this.#arena.allocate(OPERATOR_BYTE_LENGTH, caller);
    } catch (error) {
      this.#closeArena();
      throw error;
    }
  }

  /** What there is to do in all, in {@link Phase.work}. */
  get total(): number {
    return this.#total;
  }

  /** From here on the running call is recorded, until {@link end}. May be called again in between. */
  begin(): void {
    if (recordingOf(this.instance) === this) return;
    this.#leave = this.#enter();
    setRecording(this);
  }

  /** Ends the record. */
  end(): void {
    if (recordingOf(this.instance) !== this) return;
    setRecording(undefined);
    this.#leave();
  }

  /** Leaves work for later. */
  add(work: number, steps: () => Steps<void>): void {
    this.#total += work;
    this.#steps.push(steps);
  }

  /** Leaves work of JavaScript for later: each piece yields when it is done, and all of them are `work`. */
  pieces(work: number, pieces: number, steps: () => Generator<unknown, unknown, undefined>): void {
    const each = Math.ceil(work / Math.max(1, pieces));
    this.add(each * pieces, function* () {
      for (const _ of steps()) yield { kind: 0, phase: 0, block: 0, pass: 0, tiles: 0, work: each };
    });
  }

  /** Leaves something to do when all that was left before it is done. */
  after(action: () => void): void {
    this.add(0, () => once(action));
  }

  /** Records a call of attention. */
  attention(memory: LinearMemory, call: AttentionCall): AttentionOutcome {
    return recordAttention(this, memory, call);
  }

  /** Notes that a recorded call uses a resident until it has run. */
  use(resident: Resident, writes: boolean): void {
    resident.users ??= new Users();
    const users = resident.users as Users;
    users.add(writes, 1);
    this.hold(() => {
      users.add(writes, -1);
      resident.freeIfUnused();
    });
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
    this.#closeArena();
    for (const release of this.#releases) release();
  }

  #closeArena(): void {
    this.#arena.release(0);
    this.#arena.dropIdle();
    this.#memory.arenas.delete(this.#arena);
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
