/**
 * A further thread of an engine: its own instance of the wasm over the shared memory, with its own stack and its own
 * part of the scratch memory. It takes chunks as long as there are some, then parks until the next job, and ends when
 * none has come for a while.
 */

import { KIND_OPERATOR, type OperatorExports } from "../wasm/abi.ts";
import {
  ENDED,
  FAILED,
  finish,
  READY,
  RETIRED,
  readJob,
  SEQUENCE,
  STATE,
  type StartMessage,
  THREW,
  type ThreadMessage,
  take,
  WORKING,
} from "./control.ts";
import { importsOf } from "./shared-module.ts";

/** Looks at the sequence before parking: the next phase of a call mostly comes within some microseconds. */
const SPINS = 5000;

interface ThreadExports extends OperatorExports {
  readonly __stack_pointer: WebAssembly.Global<"i32">;
}

/** Both modules of a thread use its one stack, as neither calls the other. */
function link(module: WebAssembly.Module, { memory, stack }: StartMessage): ThreadExports {
  const { exports } = new WebAssembly.Instance(module, importsOf(module, memory));
  const linked = exports as unknown as ThreadExports;
  linked.__stack_pointer.value = stack;
  return linked;
}

/** Lives the life of a thread; gives the message that says what went wrong, if anything did. */
export function live(start: StartMessage, answer: (message: ThreadMessage) => void): void {
  const control = new Int32Array(start.control);
  const life = new Int32Array(start.life);
  const fail = (error: unknown): void => {
    Atomics.store(life, STATE, THREW);
    answer({ saccade: "failed", message: String(error) });
  };
  let attention: ThreadExports;
  let operators: ThreadExports | undefined;
  try {
    attention = link(start.module, start);
    operators = start.operators && link(start.operators, start);
  } catch (error) {
    fail(error);
    return;
  }
  Atomics.store(life, STATE, READY);
  answer({ saccade: "ready" });
  for (;;) {
    const sequence = Atomics.load(control, SEQUENCE);
    Atomics.store(life, STATE, WORKING);
    if (Atomics.load(life, RETIRED) !== 0) break;
    const error = work(control, attention, operators, start.thread);
    if (error !== undefined) {
      fail(error.cause);
      return;
    }
    Atomics.store(life, STATE, READY);
    let spins = SPINS;
    while (spins > 0 && Atomics.load(control, SEQUENCE) === sequence) spins -= 1;
    if (spins > 0) continue;
    if (Atomics.wait(control, SEQUENCE, sequence, start.idleTimeoutMs) === "timed-out") break;
  }
  Atomics.store(life, STATE, ENDED);
}

/** Runs chunks until there are none; what the wasm threw, if it did. */
function work(
  control: Int32Array,
  attention: OperatorExports,
  operators: OperatorExports | undefined,
  thread: number,
): { readonly cause: unknown } | undefined {
  for (;;) {
    const chunk = take(control, operators !== undefined);
    if (chunk < 0) return undefined;
    const { kind, phase, block, pass, tiles, tilesPerChunk, chunks } = readJob(control);
    const from = chunk * tilesPerChunk;
    const exports = kind === KIND_OPERATOR && operators !== undefined ? operators : attention;
    let status: number;
    try {
      status = exports.run(kind, phase, block, pass, from, Math.min(tiles, from + tilesPerChunk), thread);
    } catch (cause) {
      Atomics.store(control, FAILED, thread);
      finish(control, 0, chunks);
      return { cause };
    }
    finish(control, status, chunks);
  }
}
