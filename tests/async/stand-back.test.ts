// Beside other threads: a chunk that lasts too long for a slice makes this thread stand back for a while, not for good.
import { afterEach, expect, it, vi } from "vitest";
import { runPhase } from "../../ts/async/slices.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

it("a thread that was held up once takes chunks again", async () => {
  let now = 0;
  vi.spyOn(performance, "now").mockImplementation(() => now);
  /** When this thread took chunks. */
  const own: number[] = [];
  let left = 1000;
  const pool = {
    ...{ leastWork: 0, inUse: 2, isLate: false, share: 0 },
    open() {},
    step() {
      if (left === 0) return false;
      left -= 1;
      own.push(now);
      now += own.length === 1 ? 50 : 1;
      return true;
    },
    get done() {
      // With every look the other thread has done one, which took it a millisecond.
      now += 1;
      left = Math.max(0, left - 1);
      return left === 0;
    },
    close: () => 0,
  };
  const phase = { kind: 0, phase: 0, block: 0, pass: 0, tiles: 1000, work: 1 };
  await runPhase({ instance: { pool }, caller: "test" } as never, phase, { began: 0, report() {} });
  const [, second, third] = own as [number, number, number];
  expect(second - own[0]!).toBeGreaterThanOrEqual(150);
  expect(third - second).toBeLessThan(10);
});
