// Slices: the event loop turns, progress is told, and calls stop where they are told to, with nothing lost. The clock is the
// test's own, so that a slice is so many looks at it.
import {
  attention,
  attentionAsync,
  attentionPoolingAsync,
  createEngine,
  dot,
  type Engine,
  type Progress,
} from "saccade";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { counted } from "../worker/cases.ts";
import { refusal, turn } from "../worker/expected.ts";
import { same } from "../worker/same.ts";

/** By how much the clock goes on with every look: more than a slice lasts. */
const LOOK_MS = 6;

let engine: Engine;
let live: number;
beforeEach(async () => {
  engine = await createEngine();
  live = engine.stats().liveBytes;
  let now = 0;
  vi.spyOn(performance, "now").mockImplementation(() => {
    now += LOOK_MS;
    return now;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  engine.dispose();
});

/** A call of many tiles. */
const x = counted(1, 1024, 4, 16);
const call = (options: object = {}) => attentionAsync(x, x, x, { causal: true, engine, ...options });

async function settled(): Promise<void> {
  for (let turns = 0; turns < 4; turns++) await turn();
}

describe("a call in slices", () => {
  it("lets the event loop turn many times, and has not begun when it returns", async () => {
    let turns = 0;
    let running = true;
    const count = () => {
      turns += 1;
      if (running) setImmediate(count);
    };
    setImmediate(count);
    const seen: number[] = [];
    const promise = call({ onProgress: ({ done }: Progress) => seen.push(done) });
    expect(seen).toEqual([]);
    const { out } = await promise;
    running = false;
    expect(turns).toBeGreaterThan(10);
    same(out, attention(x, x, x, { causal: true, engine }).out, "out");
  });

  it("tells progress that only rises and ends at the total, in every step of a call", async () => {
    for (const run of [
      (onProgress: (progress: Progress) => void) => call({ onProgress }),
      (onProgress: (progress: Progress) => void) =>
        attentionPoolingAsync(counted(2000, 8), counted(300, 8), counted(300, 8), { score: dot(), engine, onProgress }),
    ]) {
      const seen: Progress[] = [];
      await run((progress) => seen.push(progress));
      expect(seen.length).toBeGreaterThan(1);
      const total = seen[0]!.total;
      seen.forEach((progress, index) => {
        expect(progress.total).toBe(total);
        if (index > 0) expect(progress.done).toBeGreaterThan(seen[index - 1]!.done);
      });
      expect(seen.at(-1)).toEqual({ done: total, total });
    }
  });

  it("reads its inputs before it returns: later changes do not count", async () => {
    const given = counted(1, 1024, 4, 16);
    const lengths = [1000];
    const promise = attentionAsync(given, given, given, { kvLengths: lengths, engine });
    given.data.fill(7);
    given.shape[1] = 3;
    lengths[0] = 1;
    same((await promise).out, attention(x, x, x, { kvLengths: [1000], engine }).out, "out");
  });

  it("keeps its bits whatever runs in between", async () => {
    const small = counted(1, 70, 2, 8);
    const expected = attention(small, small, small, { engine }).out;
    const promise = call({
      onProgress() {
        same(attention(small, small, small, { engine }).out, expected, "in between");
      },
    });
    same((await promise).out, attention(x, x, x, { causal: true, engine }).out, "out");
  });

  it("takes its turn: first come, first served", async () => {
    const order: number[] = [];
    await Promise.all([0, 1, 2, 3].map((index) => call().then(() => order.push(index))));
    expect(order).toEqual([0, 1, 2, 3]);
    expect(engine.stats().liveBytes).toBe(live);
  });
});

describe("a call that is stopped", () => {
  const reason = new Error("enough");

  it("before it is made: nothing happens", async () => {
    await expect(call({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(engine.stats().liveBytes).toBe(live);
  });

  it("at any slice: rejects with the reason, gives its memory back, and the next call runs", async () => {
    const slices: Progress[] = [];
    await call({ onProgress: (progress: Progress) => slices.push(progress) });
    expect(slices.length).toBeGreaterThan(5);
    for (let slice = 0; slice < slices.length; slice++) {
      const abort = new AbortController();
      let seen = 0;
      const promise = call({
        signal: abort.signal,
        onProgress() {
          if (seen++ === slice) abort.abort(reason);
        },
      });
      await expect(promise).rejects.toBe(reason);
      await settled();
      expect(engine.stats().liveBytes).toBe(live);
    }
    same((await call()).out, attention(x, x, x, { causal: true, engine }).out, "out");
  });

  it("while it waits: it is forgotten, and the others run", async () => {
    const abort = new AbortController();
    const first = call();
    const second = call({ signal: abort.signal });
    const third = call();
    abort.abort(reason);
    await expect(second).rejects.toBe(reason);
    same((await first).out, (await third).out, "out");
    expect(engine.stats().liveBytes).toBe(live);
  });

  it("by what onProgress throws", async () => {
    const thrown = new Error("no more");
    const onProgress = () => {
      throw thrown;
    };
    await expect(call({ onProgress })).rejects.toBe(thrown);
    expect(engine.stats().liveBytes).toBe(live);
  });

  it("after its end: nothing happens", async () => {
    const abort = new AbortController();
    const { out } = await call({ signal: abort.signal });
    abort.abort(reason);
    expect(out.data.length).toBe(1024 * 4 * 16);
  });

  it("by the engine's end: all that is under way rejects", async () => {
    const pending = [call(), call()].map((promise) => expect(promise).rejects.toEqual(refusal("DISPOSED")));
    await turn();
    await turn();
    engine.dispose();
    await Promise.all(pending);
    await expect(call()).rejects.toEqual(refusal("DISPOSED"));
  });

  it("by controls or options that are wrong: at once, and nothing is held", async () => {
    await expect(call({ signal: 5 })).rejects.toEqual(refusal("ARGUMENT"));
    await expect(call({ onProgress: "often" })).rejects.toEqual(refusal("ARGUMENT"));
    await expect(call({ causl: true })).rejects.toEqual(refusal("OPTION"));
    await expect(call({ transfer: true })).rejects.toEqual(refusal("OPTION"));
    expect(engine.stats().liveBytes).toBe(live);
  });

  it("by memory that cannot be had", async () => {
    using tight = await createEngine({ memory: { initialMiB: 1, maximumMiB: 2 } });
    const large = counted(1, 1024, 8, 64);
    await expect(attentionAsync(large, large, large, { engine: tight })).rejects.toEqual(refusal("OUT_OF_MEMORY"));
    expect(tight.stats().liveBytes).toBe(0);
    const small = counted(2, 3);
    expect((await attentionAsync(small, small, small, { engine: tight })).out.shape).toEqual([2, 3]);
  });
});
