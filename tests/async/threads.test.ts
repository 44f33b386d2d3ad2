// Asynchronous calls with threads: the others compute, this one helps, and nothing blocks.
import { attention, attentionAsync, createEngine, type Engine, type Progress } from "saccade";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { counted } from "../worker/cases.ts";
import { same } from "../worker/same.ts";

let engine: Engine;
let expected: Awaited<ReturnType<typeof attentionAsync>>["out"];
const x = counted(1, 512, 4, 32);
beforeAll(async () => {
  engine = await createEngine({ threads: 3 });
  expected = attention(x, x, x, { causal: true }).out;
});
afterAll(() => engine.dispose());

const call = (options: object = {}) => attentionAsync(x, x, x, { causal: true, engine, ...options });
/** Another thread may still be at work on what nobody waits for. */
const nothingHeld = () => vi.waitFor(() => expect(engine.stats().liveBytes).toBe(0), { timeout: 10_000, interval: 1 });

describe("asynchronous calls on several threads", () => {
  it("have the bits of one thread, in their order, with progress that ends at the total", async () => {
    const seen: Progress[] = [];
    const order: number[] = [];
    const calls = [0, 1, 2].map(async (index) => {
      const { out } = await call({ onProgress: (progress: Progress) => seen.push(progress) });
      order.push(index);
      return out;
    });
    for (const out of await Promise.all(calls)) same(out, expected, "out");
    expect(order).toEqual([0, 1, 2]);
    expect(seen.filter(({ done, total }) => done === total).length).toBe(3);
  });

  it("let direct calls run in between, on one thread", async () => {
    let between = 0;
    const promise = call({
      onProgress() {
        same(attention(x, x, x, { causal: true, engine }).out, expected, "in between");
        between += 1;
      },
    });
    same(attention(x, x, x, { causal: true, engine }).out, expected, "before");
    same((await promise).out, expected, "out");
    expect(between).toBeGreaterThan(0);
  });

  it("stop with the reason, give their memory back, and leave the threads usable", async () => {
    for (let round = 0; round < 10; round++) {
      const abort = new AbortController();
      const promise = call({ signal: abort.signal });
      for (let turns = 0; turns < round; turns++) await new Promise((resolve) => setImmediate(resolve));
      abort.abort("enough");
      await promise.then(
        () => expect(round).toBeGreaterThan(0),
        (reason: unknown) => expect(reason).toBe("enough"),
      );
      await nothingHeld();
    }
    same((await call()).out, expected, "out");
  });

  it("reject when the engine is disposed of", async () => {
    const other = await createEngine({ threads: 2 });
    const onProgress = () => other.dispose();
    const pending = [0, 1].map(() => attentionAsync(x, x, x, { engine: other, onProgress }));
    const outcomes = Promise.allSettled(pending);
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { code: "ERR_SACCADE_DISPOSED" } });
    }
  });
});
