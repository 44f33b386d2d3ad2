// On a page that shows itself, who has worked for most of a frame waits for the next one; where none comes, not for long.
import { afterEach, beforeEach, expect, it, vi } from "vitest";

let now: number;
let visibilityState: string;
let frames: FrameRequestCallback[];
let turn: () => Promise<void>;

beforeEach(async () => {
  [now, visibilityState, frames] = [1000, "visible", []];
  vi.stubGlobal("setImmediate", undefined);
  vi.stubGlobal("document", {
    get visibilityState() {
      return visibilityState;
    },
  });
  vi.stubGlobal("requestAnimationFrame", (frame: FrameRequestCallback) => frames.push(frame));
  vi.spyOn(performance, "now").mockImplementation(() => now);
  vi.resetModules();
  ({ turn } = await import("../../ts/async/turn.ts"));
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

async function workFor(ms: number) {
  now += ms;
  await turn();
}

it("asks for no frame before most of one has passed", async () => {
  await turn();
  await workFor(5);
  await workFor(5);
  expect(frames).toHaveLength(0);
});

it("goes on behind the frame that it waits for, and then works for most of another", async () => {
  await turn();
  let resumed = false;
  now += 15;
  const waiting = turn().then(() => {
    resumed = true;
  });
  expect(frames).toHaveLength(1);
  frames[0]!(now);
  expect(resumed).toBe(false);
  await waiting;
  await workFor(5);
  await workFor(5);
  expect(frames).toHaveLength(1);
  now += 5;
  void turn();
  expect(frames).toHaveLength(2);
});

it("waits for none after a rest, nor on a page that is hidden", async () => {
  await turn();
  await workFor(500);
  visibilityState = "hidden";
  await workFor(50);
  await workFor(50);
  expect(frames).toHaveLength(0);
});

it("goes on where no frame comes, and waits for no other until that one has come", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout"] });
  await turn();
  now += 15;
  const waiting = turn();
  vi.advanceTimersByTime(100);
  now += 100;
  await waiting;
  await workFor(15);
  await workFor(15);
  expect(frames).toHaveLength(1);
  frames[0]!(now);
  now += 15;
  void turn();
  expect(frames).toHaveLength(2);
});
