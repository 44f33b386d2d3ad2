/**
 * The known-answer test: a painted attention call (32-bit integer arithmetic only, exact in f32) whose result is known
 * bit for bit. It runs once for every engine, so that an engine, a CPU or a file that computes something else is
 * found before it is used.
 */

import { SaccadeError } from "../errors.ts";
import { runAttention } from "./attention.ts";
import type { AttentionCall, Destination } from "./call.ts";
import type { WasmInstance } from "./instance.ts";
import { contiguousStrides, type TensorView } from "./view.ts";

/** Two query heads on one kv head, causal, query and keys each one past a block, a width that fills no vector. */
const NUM_HEADS = 2;
const Q_LEN = 65;
const KV_LEN = 129;
const HEAD_DIM = 13;
const SEEDS = { query: 1253, key: 1254, value: 1255 };

/** {@link bitsOf} out and lse in the strict build. */
const OUT_BITS = 0x1680c668;
const LSE_BITS = 0x00e33016;
/** The first values of out and lse, as bits: what a relaxed build must come close to. */
const OUT_FIRST = [0x4003a000, 0x3f0a6c00, 0xbfbd6300, 0x3f0df800, 0x3ea83400, 0xbf6f5800, 0x3ee17800, 0x3f62d000];
const LSE_FIRST = [0xbfa43ad9, 0x3f70c3f1, 0x3ff5e77b, 0x40115fe6, 0x4033bcbf, 0x40134145, 0x4023e82a, 0x3fbfdc4f];
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

function painted(seed: number, heads: number, rows: number): TensorView {
  const shape = [1, heads, rows, HEAD_DIM];
  const elements = heads * rows * HEAD_DIM;
  return {
    dtype: "float32",
    shape,
    strides: contiguousStrides(shape, elements),
    elements,
    span: elements,
    contiguous: true,
    address: -1,
    outside: new Int32Array(paintBell(seed, elements).buffer),
  };
}

function fresh(shape: readonly number[]): Destination {
  return { shape, elements: shape.reduce((product, size) => product * size, 1), dtype: "float32", target: undefined };
}

function knownCall(caller: string): AttentionCall {
  return {
    caller,
    batch: 1,
    numHeads: NUM_HEADS,
    numKvHeads: 1,
    qLen: Q_LEN,
    kvLen: KV_LEN,
    shard: undefined,
    headDim: HEAD_DIM,
    valueHeadDim: HEAD_DIM,
    axes: { batch: 0, seq: 2, head: 1 },
    query: painted(SEEDS.query, NUM_HEADS, Q_LEN),
    key: painted(SEEDS.key, 1, KV_LEN),
    value: painted(SEEDS.value, 1, KV_LEN),
    out: fresh([1, NUM_HEADS, Q_LEN, HEAD_DIM]),
    lse: fresh([1, NUM_HEADS, Q_LEN]),
    weights: undefined,
    tap: undefined,
    scale: undefined,
    causal: true,
    qOffset: undefined,
    kvLengths: undefined,
    modifiers: undefined,
    sequences: undefined,
    cache: undefined,
    findEmptyRow: false,
  };
}

/** A hash of all bits, a word at a time: this runs before anything is compiled well. */
function bitsOf(values: Float32Array): number {
  let hash = 0x811c9dc5;
  for (const word of new Uint32Array(values.buffer, values.byteOffset, values.length))
    hash = Math.imul(hash ^ word, 0x01000193);
  return hash >>> 0;
}

function isClose(values: Float32Array, bits: readonly number[]): boolean {
  const expected = new Float32Array(Uint32Array.from(bits).buffer);
  return expected.every((value, i) => Math.abs(values[i]! - value) <= TOLERANCE);
}

/**
 * Runs the known call once.
 *
 * @throws SaccadeError `ERR_SACCADE_SELF_TEST` where the answer is another one
 */
export function selfTest(instance: WasmInstance, caller: string): void {
  const { out, lse } = runAttention(instance, knownCall(caller));
  const strict = instance.build === "strict";
  const matches =
    out instanceof Float32Array &&
    lse instanceof Float32Array &&
    (strict
      ? bitsOf(out) === OUT_BITS && bitsOf(lse) === LSE_BITS
      : isClose(out, OUT_FIRST) && isClose(lse, LSE_FIRST));
  if (matches) return;
  throw new SaccadeError(
    "ERR_SACCADE_SELF_TEST",
    `${caller}: the ${instance.build} build computes another result than it must on a known call; ` +
      "was the wasm of the other build given as module, or is this engine or CPU faulty?",
  );
}
