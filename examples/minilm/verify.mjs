// @ts-check
/** The result against float64, as a share of the error that float32 arithmetic explains. */
import { attentionReference } from "../../tests/reference/attention.mjs";
import { errorBound, largestMargin } from "../../tests/reference/bound.mjs";
import { UsageError } from "../usage.mjs";
import { axesOf } from "./tensors.mjs";

/** @typedef {import("./tensors.mjs").Tensor} Tensor */
/** @typedef {import("./tensors.mjs").Work} Work */

/** About two seconds of float64 loops. */
const MAX_OPERATIONS = 2e9;
/** The bound is kept for every weight too. */
const MAX_WEIGHTS = 2 ** 24;

/**
 * @typedef {object} Verdict
 * @property {string} name
 * @property {number} count of compared values
 * @property {number} margin the largest error as a share of its bound; 1 is the limit
 */

/**
 * @param {Work} work
 * @param {{ layout: "bshd" | "bhsd", causal: boolean, qOffset: number[] }} how
 * @param {{ out: Tensor, lse: Tensor }} result
 * @returns {{ verdicts: Verdict[], from: string } | { skipped: string }}
 */
export function verify(work, { layout, causal, qOffset }, result) {
  const query = axesOf(work.query.shape, layout);
  const key = axesOf(work.key.shape, layout);
  const value = axesOf(work.value.shape, layout);
  const shape = {
    batch: query.batch,
    qLen: query.seq,
    kvLen: key.seq,
    numHeads: query.heads,
    numKvHeads: key.heads,
    headDim: query.dim,
    valueHeadDim: value.dim,
  };
  const weights = shape.batch * shape.numHeads * shape.qLen * shape.kvLen;
  if (weights > MAX_WEIGHTS || weights * (shape.headDim + shape.valueHeadDim) > MAX_OPERATIONS) {
    return { skipped: `${weights} pairs of query and key are too many for the float64 loops` };
  }
  const inputs = {
    query: headsFirst(work.query, layout),
    key: headsFirst(work.key, layout),
    value: headsFirst(work.value, layout),
  };
  const options = {
    causal,
    qOffset,
    ...(work.scale === undefined ? {} : { scale: work.scale }),
    ...(work.kvLengths === undefined ? {} : { kvLengths: work.kvLengths }),
  };
  const bound = errorBound(inputs, shape, options);
  const computed = work.expected && work.expectedLse ? undefined : attentionReference(inputs, shape, options);
  const expected = work.expected ? headsFirst(sameShape(work.expected, result.out), layout) : computed?.out;
  const expectedLse = work.expectedLse?.data ?? computed?.lse;
  const out = headsFirst(result.out, layout);
  return {
    from: work.expected ? "recorded" : "computed here",
    verdicts: [
      { name: "out", count: out.length, margin: largestMargin(out, expected ?? [], bound.out) },
      {
        name: "lse",
        count: result.lse.data.length,
        margin: largestMargin(result.lse.data, expectedLse ?? [], bound.lse),
      },
    ],
  };
}

/** @param {Tensor} expected @param {Tensor} out */
function sameShape(expected, out) {
  if (expected.shape.join() === out.shape.join()) return expected;
  throw new UsageError(`the expected tensor has shape [${expected.shape}], the result [${out.shape}]`);
}

/** Row-major `[batch, heads, sequence, dim]`, which is what the float64 loops read. @param {Tensor} tensor @param {"bshd" | "bhsd"} layout */
function headsFirst({ data, shape }, layout) {
  const { batch, heads, seq, dim } = axesOf(shape, layout);
  if (layout === "bhsd" || heads === 1) return data;
  const turned = new Float32Array(data.length);
  for (let b = 0; b < batch; b++) {
    for (let s = 0; s < seq; s++) {
      for (let h = 0; h < heads; h++) {
        const from = ((b * seq + s) * heads + h) * dim;
        turned.set(data.subarray(from, from + dim), ((b * heads + h) * seq + s) * dim);
      }
    }
  }
  return turned;
}
