// @ts-check
/** The ways to compute: each gives the same bits. An engine is made when it is first asked for. */
import { attention, attentionAsync, capabilities, createEngine, init } from "saccade";
import { createWorkerEngine } from "saccade/worker";

/** @typedef {import("saccade").AsyncOptions} AsyncOptions */
/** @typedef {{ data: Float32Array<ArrayBuffer>, shape: number[] }} Rows */
/** @typedef {(rows: Rows, controls: AsyncOptions) => Promise<{ readonly data: Float32Array }>} Way */

const HEADS = 8;
const HEAD_DIM = 64;

/** Queries, keys and values of a call. @param {number} length @returns {Rows} */
export function paintRows(length) {
  const data = Float32Array.from({ length: length * HEADS * HEAD_DIM }, (_, i) => ((i * 2654435761) % 1021) / 510 - 1);
  return { data, shape: [1, length, HEADS, HEAD_DIM] };
}

/** Why there are no threads here; undefined where there are. */
export function threadsMissing() {
  const { available, reason } = capabilities().threads;
  return available ? undefined : reason;
}

/** The engine of this thread, whose kernels are compiled before they are asked for. */
export async function prepare() {
  await init({ warmup: true });
}

/** @template T @param {() => Promise<T>} make @returns {() => Promise<T>} */
function once(make) {
  /** @type {Promise<T> | undefined} */
  let made;
  return () => {
    made ??= make();
    return made;
  };
}

/** This thread helps the others between two frames. */
const severalThreads = once(() => {
  const threads = Math.min(8, Math.max(2, navigator.hardwareConcurrency - 1));
  return createEngine({ threads, warmup: true });
});
const worker = once(() => createWorkerEngine({ warmup: true }));

/** @type {Readonly<Record<"slices" | "threads" | "worker" | "direct", Way>>} */
export const ways = {
  async slices(rows, controls) {
    return (await attentionAsync(rows, rows, rows, controls)).out;
  },
  async threads(rows, controls) {
    const engine = await severalThreads();
    return (await attentionAsync(rows, rows, rows, { ...controls, engine })).out;
  },
  async worker(rows, controls) {
    const remote = await worker();
    return (await remote.attention(rows, rows, rows, controls)).out;
  },
  async direct(rows) {
    return attention(rows, rows, rows).out;
  },
};

/** The bits of a result in one number (FNV-1a over its words): the same here, in Node and everywhere. @param {Float32Array} data */
export function bitsOf(data) {
  let hash = 0x811c9dc5;
  for (const word of new Uint32Array(data.buffer, data.byteOffset, data.length)) {
    hash = Math.imul(hash ^ word, 0x01000193);
  }
  return (hash >>> 0).toString(16).padStart(8, "0");
}
