import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PNG } from "pngjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "saccade-vision-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(...args: string[]) {
  const { FORCE_COLOR: _, NODE_OPTIONS: __, ...environment } = process.env;
  const options = { cwd: ROOT, encoding: "utf8", env: environment, timeout: 60_000 } as const;
  return spawnSync(process.execPath, [join(ROOT, "examples/vision/main.mjs"), ...args], options);
}

/** Shares of weight and of area per region, from what is printed. */
function shares(stdout: string): Map<string, [number, number]> {
  const lines = [...stdout.matchAll(/^ {2}(\w+) +([\d.]+) % of the weight, +([\d.]+) % of the area/gm)];
  return new Map(lines.map(([, region, weight, area]) => [region!, [Number(weight), Number(area)]]));
}

/** Mean of a panel's red over its blue inside a square: warm where attention is. */
function warmth(png: PNG, panel: number, [x, y]: readonly [number, number]): number {
  const [gap, width, height] = [11, 512, 320];
  const [left, top] = [gap + (panel % 2) * (width + gap), gap + Math.floor(panel / 2) * (height + gap)];
  let [red, blue] = [0, 0];
  for (let dy = -6; dy <= 6; dy++) {
    for (let dx = -6; dx <= 6; dx++) {
      const at = ((top + y + dy) * png.width + left + x + dx) * 4;
      red += png.data[at]!;
      blue += png.data[at + 2]!;
    }
  }
  return red / blue;
}

describe("attention in a picture", () => {
  it("goes to the ball, in numbers and in the picture", () => {
    const path = join(folder, "made", "attention.png");
    const { status, stdout, stderr } = run("--png", path);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const found = shares(stdout);
    expect([...found.keys()]).toEqual(["sky", "hills", "meadow", "flowers", "shadow", "ball"]);
    expect([...found.values()].reduce((sum, [weight]) => sum + weight, 0)).toBeCloseTo(100, 0);
    const [weight, area] = found.get("ball") ?? [0, 0];
    expect(weight).toBeGreaterThan(15 * area);
    expect(stdout).toMatch(/most at \(\d+, \d+\): ball/);
    const png = PNG.sync.read(readFileSync(path));
    expect([png.width, png.height]).toEqual([1057, 673]);
    const [lit, sky, meadow] = [
      [312, 208],
      [250, 40],
      [120, 270],
    ] as [number, number][];
    // The scene's sky is blue and its ball red; attention makes the ball hot and leaves the rest grey.
    expect(warmth(png, 0, sky!)).toBeLessThan(0.5);
    expect(warmth(png, 0, lit!)).toBeGreaterThan(4);
    expect(warmth(png, 1, lit!)).toBeGreaterThan(1.2 * warmth(png, 1, sky!));
    expect(warmth(png, 1, lit!)).toBeGreaterThan(1.2 * warmth(png, 1, meadow!));
  });

  it("is sharper at a lower temperature", () => {
    const at = (temperature: string) =>
      shares(run("--png", join(folder, "t.png"), "--temperature", temperature).stdout).get("ball")?.[0] ?? 0;
    expect(at("0.5")).toBeGreaterThan(at("2"));
  });

  it("refuses what makes no sense, and explains itself", () => {
    for (const args of [["--temperature", "0"], ["--temperature", "warm"], ["--colour"]]) {
      const { status, stderr, stdout } = run(...args);
      expect(stderr).toMatch(/^error: /);
      expect(stdout).toBe("");
      expect(status).toBe(2);
    }
    expect(run("--help").stdout).toMatch(/^usage: /);
  });
});
