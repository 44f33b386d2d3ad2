import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** What the table says of a frame. */
interface Frame {
  ball: number | undefined;
  looked: number;
  weight: number;
}

function play(): { frames: Frame[]; stdout: string } {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const main = fileURLToPath(new URL("../../examples/video/main.mjs", import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [main], {
    cwd: ROOT,
    encoding: "utf8",
    env,
    timeout: 60_000,
  });
  expect(stderr).toBe("");
  expect(status).toBe(0);
  const lines = [...stdout.matchAll(/^ +\d+ +(-|[\d.]+) +([\d.]+) +[\d.]+ +[\d.]+ +([\d.]+) #*$/gm)];
  const frames = lines.map(([, ball, looked, weight]) => ({
    ball: ball === "-" ? undefined : Number(ball),
    looked: Number(looked),
    weight: Number(weight),
  }));
  return { frames, stdout };
}

describe("attention in a film", () => {
  const { frames, stdout } = play();

  it("looks at the ball, and nowhere in particular while there is none", () => {
    expect(frames.length).toBe(32);
    for (const { ball, looked } of frames) if (ball !== undefined) expect(Math.abs(looked - ball)).toBeLessThan(2.5);
    for (const { looked } of frames.slice(0, 5)) expect(Math.abs(looked - 23.5)).toBeLessThan(0.5);
  });

  it("counts the moments of motion, not those of rest", () => {
    const sum = (from: number, to: number) => frames.slice(from, to).reduce((total, { weight }) => total + weight, 0);
    expect(sum(0, 32)).toBeCloseTo(1, 2);
    expect(sum(5, 14) + sum(20, 29)).toBeGreaterThan(0.95);
    expect(sum(15, 20)).toBeLessThan(0.01);
    expect(stdout).toMatch(/motion 0\.\d+ \+- 0\.\d+/);
  });
});
