/**
 * The control block: the few words through which the threads of an engine agree on who runs what. It lies in a
 * `SharedArrayBuffer` of its own, out of reach of the wasm.
 *
 * A job (all tiles of a phase) is cut into chunks. One word holds the job's generation and the next chunk, and taking a
 * chunk is one compare-exchange on it; so a thread that wakes late, when the job is over or another has begun, takes
 * nothing, and nobody waits for it. A job is over when all chunks that were taken are done, and only then are its words
 * used again: what a thread reads after it has taken a chunk is its own job's.
 */

import { KIND_OPERATOR } from "../wasm/abi.ts";

/** Words of the block. What is written often lies apart from what is read often. */
export const WORD = 0;
export const SEQUENCE = 16;
export const DONE = 32;
export const STATUS = 33;
export const FAILED = 34;
const KIND = 48;
const PHASE = 49;
const BLOCK = 50;
const PASS = 51;
const TILES = 52;
const TILES_PER_CHUNK = 53;
const CHUNKS = 54;
const WORDS = 64;

/** A block that nothing can be taken from. */
export function newControl(): Int32Array {
  const control = new Int32Array(new SharedArrayBuffer(4 * WORDS));
  close(control);
  return control;
}

/**
 * Words of a block that each thread has to itself, and its successor another one: where it is in its life, and whether it
 * must take nothing any more. A thread says that it works before it looks whether it may, and who retires it looks the
 * other way round: so one of both knows, even of a thread that lives on for a while after it has been ended.
 */
export const STATE = 0;
export const RETIRED = 1;

/** A thread that has not answered yet, waits for a job, takes chunks, has ended by itself, or has failed. */
export const STARTING = 0;
export const READY = 1;
export const WORKING = 2;
export const ENDED = 3;
export const THREW = 4;

const CHUNK_BITS = 10;
const CHUNK_MASK: number = (1 << CHUNK_BITS) - 1;
/** The chunk of a word from which nothing can be taken. */
const CLOSED = CHUNK_MASK;
/** The most chunks of a job. */
export const MOST_CHUNKS: number = CHUNK_MASK - 1;

/** What a thread is started with. */
export interface StartMessage {
  readonly saccade: "start";
  readonly module: WebAssembly.Module;
  /** The module of the operators, where it has been loaded. */
  readonly operators: WebAssembly.Module | undefined;
  readonly memory: WebAssembly.Memory;
  readonly control: SharedArrayBuffer;
  /** The thread's own block. */
  readonly life: SharedArrayBuffer;
  /** Its number, from 1: the calling thread is 0. */
  readonly thread: number;
  /** The end of its stack, which grows downwards. */
  readonly stack: number;
  /** How long it stays parked before it ends. */
  readonly idleTimeoutMs: number;
}

/** What a thread answers. */
export type ThreadMessage = { readonly saccade: "ready" } | { readonly saccade: "failed"; readonly message: string };

/** A job as its threads see it. */
export interface Job {
  readonly kind: number;
  readonly phase: number;
  readonly block: number;
  readonly pass: number;
  readonly tiles: number;
  readonly tilesPerChunk: number;
  readonly chunks: number;
}

/** Reads the job of a chunk that was taken. */
export function readJob(control: Int32Array): Job {
  return {
    kind: control[KIND]!,
    phase: control[PHASE]!,
    block: control[BLOCK]!,
    pass: control[PASS]!,
    tiles: control[TILES]! >>> 0,
    tilesPerChunk: control[TILES_PER_CHUNK]! >>> 0,
    chunks: control[CHUNKS]!,
  };
}

/** Opens a job. Only the calling thread does this, and only when the job before it is over. */
export function publish(control: Int32Array, generation: number, job: Job): void {
  control[KIND] = job.kind;
  control[PHASE] = job.phase;
  control[BLOCK] = job.block;
  control[PASS] = job.pass;
  control[TILES] = job.tiles;
  control[TILES_PER_CHUNK] = job.tilesPerChunk;
  control[CHUNKS] = job.chunks;
  Atomics.store(control, STATUS, 0);
  Atomics.store(control, FAILED, 0);
  Atomics.store(control, DONE, 0);
  Atomics.store(control, WORD, generation << CHUNK_BITS);
  Atomics.add(control, SEQUENCE, 1);
}

/** Closes a job whose chunks are all done. */
export function close(control: Int32Array): void {
  Atomics.or(control, WORD, CLOSED);
}

/** Takes a chunk; -1 where there is none, or where it needs the module of the operators and this thread has none. */
export function take(control: Int32Array, hasOperators: boolean): number {
  let word = Atomics.load(control, WORD);
  for (;;) {
    const chunk = word & CHUNK_MASK;
    if (chunk === CLOSED) return -1;
    if (chunk >= Atomics.load(control, CHUNKS) || (!hasOperators && Atomics.load(control, KIND) === KIND_OPERATOR)) {
      // That is the word's own job only if the word has not changed since.
      const again = Atomics.load(control, WORD);
      if (again === word) return -1;
      word = again;
      continue;
    }
    const found = Atomics.compareExchange(control, WORD, word, word + 1);
    if (found === word) return chunk;
    word = found;
  }
}

/** Notes that a chunk is done, with its status; wakes the calling thread after the last one. */
export function finish(control: Int32Array, status: number, chunks: number): void {
  if (status !== 0) Atomics.compareExchange(control, STATUS, 0, status | 0);
  if (Atomics.add(control, DONE, 1) + 1 === chunks) Atomics.notify(control, DONE);
}
