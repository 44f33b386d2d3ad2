import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import binaryen from "binaryen";
import { describe, expect, it, vi } from "vitest";
import type { Case } from "../../bench/case.ts";
import { bytesOf, CASES, casesLike, flopsOf } from "../../bench/cases.ts";
import { Limits } from "../../bench/limits.ts";
import { measureRoof, type Roof } from "../../bench/roof/roof.mjs";
import { quantile, timeInRounds } from "../../bench/rounds.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

describe("the roof probe", () => {
  /** How often each operation stands in the loop of an exported function. */
  function loopOf(variant: string, name: string): Map<string, number> {
    const module = binaryen.readBinary(
      readFileSync(new URL(`../../bench/roof/dist/roof.${variant}.wasm`, import.meta.url)),
    );
    module.setFeatures(binaryen.Features.All);
    const text = module.emitText();
    module.dispose();
    const body = text.split(/\n \(func \$/).find((part) => part.startsWith(`${name} `));
    const loop = body?.slice(body.indexOf("(loop")) ?? "";
    // The loop ends where its brackets close.
    let end = 0;
    for (let depth = 0; end === 0 || depth > 0; end++) {
      if (loop[end] === "(") depth++;
      else if (loop[end] === ")") depth--;
    }
    const counts = new Map<string, number>();
    for (const [, op] of loop.slice(0, end).matchAll(/\(((?:f32x4|i32x4|v128)\.\w+)/g)) {
      counts.set(op!, (counts.get(op!) ?? 0) + 1);
    }
    return counts;
  }

  it.each([8, 10, 12, 14])("has %i chains that nothing folded, hoisted or fused", (width) => {
    for (const variant of ["strict", "fast"]) {
      expect(Object.fromEntries(loopOf(variant, `multiply_add_${width}`))).toEqual({
        "f32x4.mul": 4 * width,
        "f32x4.add": 4 * width,
      });
    }
    expect(Object.fromEntries(loopOf("fast", `fused_${width}`))).toEqual({ "f32x4.relaxed_madd": 4 * width });
  });

  it("reads, divides and raises as much as it says", () => {
    for (const name of ["read_1", "read_4"]) {
      expect(Object.fromEntries(loopOf("strict", name))).toEqual({ "v128.load": 8, "i32x4.add": 8 });
    }
    expect(Object.fromEntries(loopOf("strict", "divide_8"))).toEqual({ "f32x4.div": 32 });
    const exp = loopOf("strict", "exp2_sum");
    expect([exp.get("v128.load"), exp.get("f32x4.mul"), exp.get("i32x4.shl")]).toEqual([4, 4 * 6, 4]);
  });

  it("reads in a memory of its own, away from the operands of the peaks", async () => {
    const instantiate = vi.spyOn(WebAssembly, "instantiate");
    const roof = await measureRoof({ milliseconds: 20 });
    const instances = await Promise.all(instantiate.mock.results.map(({ value }) => value as WebAssembly.Instance));
    instantiate.mockRestore();
    const sizes = () => instances.map(({ exports: { memory } }) => (memory as WebAssembly.Memory).buffer.byteLength);
    const before = sizes();
    roof.readGBps(1 << 23);
    const grown = sizes().filter((size, i) => size > before[i]!).length;
    expect(grown).toBe(1);
    expect(instances.length - grown).toBe(roof.fusedGflops === null ? 1 : 2);
  });

  it("measures finite rates", async () => {
    const roof = await measureRoof({ milliseconds: 20 });
    const fused = roof.fusedGflops ?? 1;
    for (const rate of [roof.strictGflops, fused, roof.divGops, roof.expGops, roof.readGBps(1 << 16)]) {
      expect(rate).toBeGreaterThan(0);
      expect(rate).toBeLessThan(1e5);
    }
  });
});

describe("cases", () => {
  const named = (name: string) => CASES.find((c) => c.name === name) as Case;

  it("count the work of the keys that are seen", () => {
    expect(flopsOf(named("prefill-64"))).toBe(4 * 4 * 64 * 1024 * 1024);
    expect(flopsOf(named("causal-64"))).toBe((4 * 4 * 64 * 1024 * 1025) / 2);
    expect(flopsOf(named("padded-32"))).toBe(4 * 32 * 12 * 120 * (13 + 22 + 37 + 120));
    expect(bytesOf(named("decode-4096"))).toBe(4 * 8 * (2 * 4096 * 64 + 64));
  });

  it("count the work that masks leave", () => {
    const perPair = 4 * 64;
    expect(flopsOf(named("mask-window"))).toBe(perPair * ((256 * 257) / 2 + (4096 - 256) * 256));
    expect(flopsOf(named("mask-documents"))).toBe(perPair * 16 * 256 * 256);
    expect(flopsOf(named("mask-lengths"))).toBe(perPair * 4096 * 10);
    const random = flopsOf(named("mask-random")) / flopsOf(named("long-64"));
    expect(random).toBeGreaterThan(0.49);
    expect(random).toBeLessThan(0.51);
    expect(bytesOf(named("bias-full"))).toBe(bytesOf(named("prefill-64")) + 4 * 4 * 1024 * 1024);
  });

  it("bring along what they are set against", () => {
    expect(casesLike("mask-window").map(({ name }) => name)).toEqual(["long-64", "mask-window"]);
    for (const { against } of CASES) if (against) expect(named(against.name).against).toBeUndefined();
  });

  it("have names of their own", () => {
    expect(new Set(CASES.map(({ name }) => name)).size).toBe(CASES.length);
  });

  it("are set against the limit that binds them", () => {
    const peaks = { strictGflops: 40, fusedGflops: 60, divGops: 5, expGops: 2 };
    const roof: Roof = { ...peaks, sweep: () => peaks, readGBps: () => 20 };
    const limits = new Limits(roof, CASES);
    limits.measure();
    const prefill = named("prefill-64");
    expect(limits.of(prefill, "strict")).toEqual({ name: "strict", ms: flopsOf(prefill) / 40 / 1e6 });
    expect(limits.of(prefill, "fast")).toEqual({ name: "fused", ms: flopsOf(prefill) / 60 / 1e6 });
    const decode = named("decode-4096");
    expect(limits.of(decode, "strict")).toEqual({ name: "read", ms: bytesOf(decode) / 20 / 1e6 });
  });
});

describe("rounds", () => {
  it("interleave the subjects and count their calls", () => {
    const order: string[] = [];
    const spin = (name: string) => () => {
      if (order.at(-1) !== name) order.push(name);
      const end = performance.now() + 0.2;
      while (performance.now() < end);
    };
    const effort = { rounds: 3, warmUpMs: 1, sampleMs: 1 };
    const timings = timeInRounds([spin("a"), spin("b")], effort, (round) => order.push(String(round)));
    expect(order).toEqual(["a", "b", "a", "b", "0", "a", "b", "1", "a", "b", "2"]);
    for (const { p10, median, p90, calls, disturbed } of timings) {
      expect(p10).toBeGreaterThanOrEqual(0.2);
      expect(median).toBeGreaterThanOrEqual(p10);
      expect(p90).toBeGreaterThanOrEqual(median);
      expect(calls % 3).toBe(0);
      expect(disturbed).toBeGreaterThanOrEqual(0);
      expect(disturbed).toBeLessThanOrEqual(1);
    }
  });

  it("take quantiles between the nearest values", () => {
    expect(quantile([1, 2, 4], 0.5)).toBe(2);
    expect(quantile([1, 2], 0.5)).toBe(1.5);
    expect(quantile([0, 10], 0.9)).toBe(9);
  });
});

describe("npm run bench", () => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, ["--import", "tsx", "bench/main.ts", ...args], { cwd: ROOT, encoding: "utf8" });

  it("checks and measures what is asked for, and says what it could not", () => {
    const { status, stdout, stderr } = run("--quick", "--filter", "small-64");
    expect(stderr).toBe("");
    expect(stdout).toMatch(/roof: [\d.]+ GFLOP\/s strict/);
    expect(stdout).toMatch(/small-64 +│ 1 head x 64 x 64 +│ strict/);
    expect(stdout).not.toContain("recorded");
    if (!stdout.includes("│ fast")) expect(stdout).toContain("SKIPPED: the fast build");
    expect(status).toBe(0);
  });

  it.each([
    [["--filtre", "x"], /^Unknown option '--filtre'/],
    [["--filter", "nothing"], /^no case is named like "nothing"/],
    [["extra"], /^Unexpected argument 'extra'/],
  ])("refuses %j with exit code 2 and one line", (args, message) => {
    const { status, stderr } = run(...args);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(status).toBe(2);
  });

  it("--help lists options and cases", () => {
    const { status, stdout } = run("--help");
    expect(status).toBe(0);
    for (const text of ["--filter", "--quick", ...CASES.map(({ name }) => name)]) expect(stdout).toContain(text);
  });
});
