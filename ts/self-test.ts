/**
 * The known-answer test: a painted attention call (32-bit integer arithmetic only, exact in f32) whose result is known
 * bit for bit. It runs once for every engine, so that an engine, a CPU or a file that computes something else is
 * found before it is used.
 */

import { SaccadeError } from "./errors.ts";
import { resolveAttention } from "./layout/attention.ts";
import { captureAttention } from "./layout/attention-capture.ts";
import type { TensorLike } from "./layout/tensor-like.ts";
import { runAttention } from "./wasm/attention.ts";
import { RESULT_LSE, RESULT_OUT } from "./wasm/call.ts";
import type { WasmInstance } from "./wasm/instance.ts";

/** Two query heads on one kv head, causal, query and keys each one past a block, a width that fills no vector. */
const NUM_HEADS = 2;
const Q_LEN = 65;
const KV_LEN = 129;
const HEAD_DIM = 13;
const QUERY_SEED = 1253;
const KEY_SEED = 1254;
const VALUE_SEED = 1255;

/** {@link bitsOf} out and lse in the strict build. */
const OUT_BITS = 0x1680c668;
const LSE_BITS = 0x00e33016;
/** The first values of lse: what a relaxed build must come close to. The first row of out is that of value. */
const LSE_FIRST = [-1.283046, 0.94049, 1.921127, 2.271478];
const TOLERANCE = 1e-5;

/** The finaliser of MurmurHash3 (Austin Appleby, public domain). */
function mix(x: number): number {
  let h = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** `n` elements in [-4, 4): the sum of four signed 16-bit halves of two words, times 2^-15. */
export function paintBell(seed: number, n: number): Float32Array<ArrayBuffer> {
  const painted = new Float32Array(n);
  const start = Math.imul(seed, 0x9e3779b9);
  for (let i = 0; i < n; i++) {
    const a = mix(start + 2 * i);
    const b = mix(start + 2 * i + 1);
    painted[i] = ((a >> 16) + ((a << 16) >> 16) + (b >> 16) + ((b << 16) >> 16)) * 2 ** -15;
  }
  return painted;
}

function painted(seed: number, heads: number, rows: number): TensorLike & { readonly data: Float32Array } {
  return { data: paintBell(seed, heads * rows * HEAD_DIM), shape: [1, heads, rows, HEAD_DIM] };
}

/** FNV-1a over 32-bit words. */
function bitsOf(values: Float32Array): number {
  let hash = 0x811c9dc5;
  for (const word of new Uint32Array(values.buffer)) hash = Math.imul(hash ^ word, 0x01000193);
  return hash >>> 0;
}

function isClose(values: Float32Array, expected: ArrayLike<number>): boolean {
  return Array.from(expected).every((value, i) => Math.abs(values[i]! - value) <= TOLERANCE);
}

/**
 * Runs the known call; `caller` names the function that asked for it.
 *
 * @throws SaccadeError `ERR_SACCADE_SELF_TEST` where the answer is another one
 */
export function selfTest(instance: WasmInstance, caller: string): void {
  const query = painted(QUERY_SEED, NUM_HEADS, Q_LEN);
  const key = painted(KEY_SEED, 1, KV_LEN);
  const value = painted(VALUE_SEED, 1, KV_LEN);
  const options = { layout: "bhsd", causal: true, qOffset: "top-left", returnLse: true };
  const { data } = runAttention(
    instance,
    resolveAttention(captureAttention(query, key, value, options, caller), instance),
  );
  const out = data[RESULT_OUT] as Float32Array;
  const lse = data[RESULT_LSE] as Float32Array;
  const isStrict = instance.build === "strict";
  const isRight = isStrict
    ? bitsOf(out) === OUT_BITS && bitsOf(lse) === LSE_BITS
    : isClose(out, value.data.subarray(0, HEAD_DIM)) && isClose(lse, LSE_FIRST);
  if (isRight) return;
  throw new SaccadeError(
    "ERR_SACCADE_SELF_TEST",
    `${caller}: the ${instance.build} build computes another result than it must on a known call; ` +
      "was the wasm of the other build given as module, or is this engine or CPU faulty?",
  );
}
