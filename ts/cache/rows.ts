/** Rows on their way into a cache and out of it. */

import { rangeError } from "../errors.ts";
import { proveFloatTensor } from "../layout/operands.ts";
import { plainOf } from "../layout/results.ts";
import type { CapturedTensor } from "../layout/tensor-like.ts";
import type { PlainTensor } from "../tensor.ts";
import { appendLater, appendRows, readRows } from "../wasm/cache.ts";
import type { AxisOrder } from "../wasm/call.ts";
import type { Job } from "../wasm/job.ts";
import { inSession } from "../wasm/operator.ts";
import type { Geometry } from "./geometry.ts";
import { proveRoom } from "./limits.ts";
import { type CacheRope, turned } from "./rope.ts";
import type { Store } from "./store.ts";

/** What `KvCache.read` gives: `[batch, n, numKvHeads, headDim]`, and values alike. */
export interface CacheRows {
  readonly key: PlainTensor<"float32">;
  readonly value: PlainTensor<"float32">;
}

/** Rows to append: as many of each batch row's n as its count says. */
interface NewRows {
  readonly key: CapturedTensor;
  readonly value: CapturedTensor;
  readonly axes: AxisOrder;
  readonly n: number;
  readonly counts: readonly number[];
}

/** Axes of `[batch, n, heads, width]`. */
const AXES: AxisOrder = { batch: 0, seq: 1, head: 2 };

const notFinite = (operand: string): Error =>
  rangeError("KvCache.append", `${operand} holds a number that is not finite, which an int8 cache cannot store`);

/** Adds rows behind those that are there; with a job when its turn comes. */
export function appendTo(
  store: Store,
  geometry: Geometry,
  rope: CacheRope | undefined,
  { key, value, axes, n, counts }: NewRows,
  job: Job | undefined,
  caller: string,
): void {
  const { instance } = store;
  const keyView = proveFloatTensor(key, instance, caller);
  const valueView = proveFloatTensor(value, instance, caller);
  const starts = store.extents.map(({ length }) => length);
  proveRoom(geometry, starts, counts, caller);
  if (counts.every((count) => count === 0)) return;
  const lengths = starts.map((start, row) => start + counts[row]!);
  const wrong = inSession(instance, caller, (session) => {
    const turnedKey = rope === undefined ? keyView : turned(session, rope, keyView, axes, "bshd", starts);
    const call = { key: turnedKey, value: valueView, axes, n, starts, counts };
    if (job !== undefined) {
      const [address, extending] = [() => store.address, () => store.extending(lengths, caller)];
      appendLater(job, address, call, extending, notFinite);
      return undefined;
    }
    let wrong: string | undefined;
    store.extend(lengths, caller, () => {
      wrong = appendRows(instance, store.address, call, caller);
      return wrong === undefined;
    });
    return wrong;
  });
  if (wrong !== undefined) throw notFinite(wrong);
}

/** Positions of all batch rows as they are stored, as float32; 0 behind the end of a shorter one. */
export function readFrom(store: Store, batch: number, from: number, to: number, caller: string): CacheRows {
  const { extents, instance } = store;
  const { numKvHeads, headDim, valueHeadDim } = store.format;
  return inSession(instance, caller, (session) => {
    const [key, value] = [headDim, valueHeadDim].map((width) => {
      const shape = [batch, to - from, numKvHeads, width];
      const elements = shape.reduce((product, size) => product * size, 1);
      return session.result({ shape, elements, dtype: "float32", target: undefined });
    }) as [ReturnType<typeof session.result>, ReturnType<typeof session.result>];
    if (extents.some(({ length }) => length < to)) {
      const { f32 } = instance.memory(caller).views();
      for (const { address, elements } of [key, value]) f32.fill(0, address >>> 2, (address >>> 2) + elements);
    }
    extents.forEach(({ length }, row) => {
      const n = Math.min(to, length) - from;
      if (n <= 0) return;
      const rowOf = (slot: typeof key) => ({ ...slot, address: slot.address + 4 * row * slot.strides[0]! });
      const rows = { key: rowOf(key), value: rowOf(value), axes: AXES, from, n };
      readRows(instance, store.headerOfRow(row, caller), rows, caller);
    });
    return { key: plainOf(key), value: plainOf(value) };
  });
}
