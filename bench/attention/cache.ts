/** Decoding from a KvCache: the call that is timed. */
import { type Engine, KvCache, Tensor } from "saccade";
import type { Placed } from "../case.ts";
import type { AttentionSpec } from "./spec.ts";
import { type Operands, sampledMargin } from "./subject.ts";

/** Rows that are appended at a time. */
const CHUNK = 1024;

/** A full cache, and queries that lie in memory. */
export function createCache(c: AttentionSpec, given: Operands, shape: readonly number[], engine: Engine): Placed {
  const { batch, numKvHeads, kvLen, headDim, valueHeadDim } = c;
  const cache = new KvCache({
    ...{ batch, numKvHeads, headDim, valueHeadDim, capacity: kvLen, engine },
    ...(c.cache && { dtype: c.cache }),
  });
  const rows = ({ data }: Operands["key"], width: number, from: number, to: number) => ({
    data: data.subarray(from * numKvHeads * width, to * numKvHeads * width),
    shape: [batch, to - from, numKvHeads, width],
  });
  for (let from = 0; from < kvLen; from += CHUNK) {
    const to = Math.min(kvLen, from + CHUNK);
    cache.append(rows(given.key, headDim, from, to), rows(given.value, valueHeadDim, from, to));
  }
  const query = Tensor.from(given.query, { engine });
  const out = Tensor.zeros([...shape], "float32", { engine });
  return {
    call: () => cache.attend(query, { out }),
    result: () => out.toPlain().data,
    // What is kept has been rounded: the rows that the cache gives back are what it is held against.
    margin: (got) => sampledMargin(c, { query: given.query, ...cache.read(0, kvLen) }, got),
    dispose() {
      for (const held of [cache, query, out]) held.dispose();
    },
  };
}
