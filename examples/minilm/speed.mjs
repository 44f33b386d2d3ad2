// @ts-check
/** How long a call takes on this machine, and what share of its measured peak that is. */
import { attention, Tensor } from "saccade";
import { measureRoof } from "../../bench/roof/roof.mjs";

const WARM_UP_MS = 150;
const MEASURE_MS = 300;

/** @typedef {import("./tensors.mjs").Work} Work */

/**
 * @param {Work} work
 * @param {Parameters<typeof attention>[3]} options
 * @param {number} flops
 */
export async function measureSpeed(work, options, flops) {
  const roof = await measureRoof();
  const plain = attention(work.query, work.key, work.value, options);
  const [query, key, value] = [Tensor.from(work.query), Tensor.from(work.key), Tensor.from(work.value)];
  const out = Tensor.zeros(plain.out.shape);
  const copied = medianTime(() => attention(work.query, work.key, work.value, options));
  const resident = medianTime(() => attention(query, key, value, { ...options, out }));
  for (const tensor of [query, key, value, out]) tensor.dispose();
  // The clock may have risen since: the share is taken of the best that the machine showed.
  const peak = Math.max(roof.strictGflops, roof.sweep().strictGflops);
  const gflops = flops / resident / 1e6;
  return { copied, resident, gflops, peak, share: gflops / peak };
}

/** Milliseconds, the median of the calls that fit into the time given. @param {() => void} call */
function medianTime(call) {
  const start = performance.now();
  do call();
  while (performance.now() < start + WARM_UP_MS);
  /** @type {number[]} */
  const times = [];
  const end = performance.now() + MEASURE_MS;
  do {
    const before = performance.now();
    call();
    times.push(performance.now() - before);
  } while (performance.now() < end);
  times.sort((a, b) => a - b);
  return /** @type {number} */ (times[times.length >> 1]);
}

/** Multiplications and additions of both products, counted for the keys that each row sees. @param {{ batch: number, heads: number, qLen: number, kvLen: number, headDim: number, valueHeadDim: number, causal: boolean, qOffset: number[], kvLengths: number[] | undefined }} of */
export function countFlops({ batch, heads, qLen, kvLen, headDim, valueHeadDim, causal, qOffset, kvLengths }) {
  let pairs = 0;
  for (let b = 0; b < batch; b++) {
    const valid = kvLengths?.[b] ?? kvLen;
    const offset = qOffset[b] ?? 0;
    if (causal) for (let i = 0; i < qLen; i++) pairs += Math.max(0, Math.min(valid, i + offset + 1));
    else pairs += qLen * valid;
  }
  return 2 * (headDim + valueHeadDim) * heads * pairs;
}
