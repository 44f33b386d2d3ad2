/** Decoding from a cache: the subject that is timed. */
import { type Engine, KvCache, Tensor } from "saccade";
import type { Case } from "./case.ts";
import { painted, type Subject, sampledMargin } from "./subject.ts";

/** Rows that are painted and appended at a time. */
const CHUNK = 1024;

/** A full cache, and queries that lie in memory. */
export function createCacheSubject(c: Case, engine: Engine): Subject {
  const { batch, numHeads, numKvHeads, qLen, kvLen, headDim, valueHeadDim } = c;
  const cache = new KvCache({
    ...{ batch, numKvHeads, headDim, valueHeadDim, capacity: kvLen, engine },
    ...(c.cache && { dtype: c.cache }),
  });
  for (let from = 0; from < kvLen; from += CHUNK) {
    const n = Math.min(CHUNK, kvLen - from);
    const rows = (width: number, seed: number) => ({
      data: painted(batch * n * numKvHeads * width, seed + from),
      shape: [batch, n, numKvHeads, width],
    });
    cache.append(rows(headDim, 2), rows(valueHeadDim, 3));
  }
  const shape = [batch, qLen, numHeads, headDim];
  const plain = { data: painted(batch * qLen * numHeads * headDim, 1), shape };
  const query = Tensor.from(plain, { engine });
  const out = Tensor.zeros([batch, qLen, numHeads, valueHeadDim], "float32", { engine });
  const call = () => {
    cache.attend(query, { out });
  };
  // What is kept has been rounded: the rows that the cache gives back are what it is held against.
  return { of: c, call, margin: () => sampledMargin(c, { query: plain, ...cache.read(0, kvLen) }, call, out) };
}
