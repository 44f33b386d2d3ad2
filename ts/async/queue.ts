/**
 * The asynchronous calls to one instance: first come, first served, one at a time.
 */

import type { AsyncOptions } from "../control.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import type { Job } from "../wasm/job.ts";
import { effortOf } from "../wasm/sharing.ts";
import { runPhase, type Slicing } from "./slices.ts";
import { turn } from "./turn.ts";

interface Entry {
  readonly job: Job;
  readonly onProgress: AsyncOptions["onProgress"];
  /** Set when nobody waits for the result any more. */
  stop: { readonly reason: unknown } | undefined;
  readonly reject: (error: unknown) => void;
  readonly resolve: () => void;
}

const queues = new WeakMap<WasmInstance, Queue>();

/** Runs a recorded job in its turn; resolves when it has run, and gives all that it held back. */
export function runJob(job: Job, { signal, onProgress }: AsyncOptions): Promise<void> {
  let queue = queues.get(job.instance);
  if (queue === undefined) {
    queue = new Queue();
    queues.set(job.instance, queue);
  }
  return queue.submit(job, signal, onProgress);
}

class Queue {
  readonly #waiting: Entry[] = [];
  #isRunning = false;

  submit(job: Job, signal: AbortSignal | undefined, onProgress: AsyncOptions["onProgress"]): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const entry: Entry = { job, onProgress, stop: undefined, resolve, reject };
      const abort = (): void => {
        entry.stop = { reason: signal!.reason };
        reject(signal!.reason);
        const at = this.#waiting.indexOf(entry);
        if (at < 0) return;
        this.#waiting.splice(at, 1);
        job.close();
      };
      signal?.addEventListener("abort", abort, { once: true });
      job.hold(() => signal?.removeEventListener("abort", abort));
      this.#waiting.push(entry);
      if (!this.#isRunning) this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    for (;;) {
      // The call itself returns before anything is computed; and a page that makes many small calls stays alive.
      await turn();
      const entry = this.#waiting.shift();
      if (entry === undefined) break;
      try {
        await runEntry(entry);
        entry.job.close();
        entry.resolve();
      } catch (error) {
        entry.job.close();
        entry.reject(error);
      }
    }
    this.#isRunning = false;
  }
}

async function runEntry(entry: Entry): Promise<void> {
  const { job, onProgress } = entry;
  const { total } = job;
  let before = 0;
  let work = 0;
  let told = -1;
  const tell = (done: number): void => {
    if (onProgress === undefined || done <= told) return;
    told = done;
    onProgress({ done, total });
  };
  const check = (): void => {
    // Throws where the engine has been disposed of in the meantime.
    job.instance.memory(job.caller);
    if (entry.stop !== undefined) throw entry.stop.reason;
  };
  const slicing: Slicing = {
    began: performance.now(),
    report(share) {
      check();
      tell(Math.min(total, Math.floor(before + work * share)));
      check();
    },
  };
  check();
  for (let phase = job.next(); phase !== undefined; phase = job.next()) {
    work = effortOf(phase.work);
    await runPhase(job, phase, slicing);
    before += work;
  }
  tell(total);
  check();
}
