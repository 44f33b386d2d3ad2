import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import binaryen from "binaryen";
import { describe, expect, it, vi } from "vitest";
import type { BenchCase, Work } from "../../bench/case.ts";
import { CASES, casesLike, GROUP, OPERATOR_CASES } from "../../bench/cases.ts";
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
  const named = (name: string) => CASES.find((c) => c.name === name) as BenchCase;
  const workOf = (name: string) => named(name).work as { flops: number; bytes: number };

  it("count the work of the keys that are seen", () => {
    expect(workOf("prefill-64").flops).toBe(4 * 4 * 64 * 1024 * 1024);
    expect(workOf("causal-64").flops).toBe((4 * 4 * 64 * 1024 * 1025) / 2);
    expect(workOf("padded-32").flops).toBe(4 * 32 * 12 * 120 * (13 + 22 + 37 + 120));
    expect(workOf("decode-4096").bytes).toBe(4 * 8 * (2 * 4096 * 64 + 64));
  });

  it("count the work that masks leave", () => {
    const perPair = 4 * 64;
    expect(workOf("mask-window").flops).toBe(perPair * ((256 * 257) / 2 + (4096 - 256) * 256));
    expect(workOf("mask-documents").flops).toBe(perPair * 16 * 256 * 256);
    expect(workOf("mask-lengths").flops).toBe(perPair * 4096 * 10);
    const random = workOf("mask-random").flops / workOf("long-64").flops;
    expect(random).toBeGreaterThan(0.49);
    expect(random).toBeLessThan(0.51);
    expect(workOf("bias-full").bytes).toBe(workOf("prefill-64").bytes + 4 * 4 * 1024 * 1024);
  });

  it("count what a cache keeps", () => {
    const [query, rows] = [4 * 8 * 64, 8 * 4096];
    expect(workOf("cache-f32").bytes).toBe(query + rows * 2 * 64 * 4);
    expect(workOf("cache-bf16").bytes).toBe(query + rows * 2 * 64 * 2);
    expect(workOf("cache-int8").bytes).toBe(query + rows * (2 * 64 + 8));
  });

  it("bring along what they are set against, which is timed in the same rounds", () => {
    expect(casesLike("mask-window").map(({ name }) => name)).toEqual(["long-64", "mask-window"]);
    expect(casesLike(GROUP)).toEqual(OPERATOR_CASES);
    expect(casesLike("rope").map(({ name }) => name)).toEqual(["rope-half", "rope-interleaved"]);
    for (const { block, against } of CASES) {
      if (!against) continue;
      expect(named(against.name).against).toBeUndefined();
      expect(named(against.name).block).toBe(block);
    }
  });

  it("have names of their own", () => {
    expect(new Set(CASES.map(({ name }) => name)).size).toBe(CASES.length);
  });
});

describe("limits", () => {
  const peaks = { strictGflops: 40, fusedGflops: 60, divGops: 5, expGops: 2 };
  const roof: Roof = { ...peaks, sweep: () => peaks, readGBps: () => 20 };
  const bound = (work: Work, build: "strict" | "fast") => {
    const limits = new Limits(roof, [work]);
    limits.measure();
    const limit = limits.of(work, build);
    return limit && [limit.name, limit.ms, limit.giga];
  };

  it.each<[Work, "strict" | "fast", ReturnType<typeof bound>]>([
    [{ flops: 4e7, bytes: 1e6 }, "strict", ["strict", 1, 0.04]],
    [{ flops: 6e7 }, "fast", ["fused", 1, 0.06]],
    [{ flops: 1, bytes: 1e6, passes: 4 }, "strict", ["read", 0.2, 0.004]],
    [{ exponentials: 2e6, divisions: 2e6 }, "strict", ["exp", 1, 0.002]],
    [{ exponentials: 3e6 }, "fast", ["exp", 1, 0.003]],
    [{ divisions: 5e6 }, "fast", ["division", 1, 0.005]],
    [{}, "strict", null],
  ])("of %j in the %s build", (work, build, limit) => {
    expect(bound(work, build)).toEqual(limit);
  });
});

describe("rounds", () => {
  const EFFORT = { rounds: 3, warmUpMs: 1, sampleMs: 1, subjectMs: 100 };

  it("interleave the subjects, waited for or not, and count their calls", async () => {
    const order: string[] = [];
    const spin = (name: string) => {
      if (order.at(-1) !== name) order.push(name);
      const end = performance.now() + 0.2;
      while (performance.now() < end);
    };
    const later = async () => {
      await Promise.resolve();
      spin("b");
    };
    const timings = await timeInRounds([() => spin("a"), later], EFFORT, (round) => order.push(String(round)));
    expect(order).toEqual(["a", "b", "a", "b", "0", "a", "b", "1", "a", "b", "2"]);
    for (const { p10, median, p90, calls, disturbed } of timings) {
      expect(p10).toBeGreaterThanOrEqual(0.2);
      expect(median).toBeGreaterThanOrEqual(p10);
      expect(p90).toBeGreaterThanOrEqual(median);
      expect(calls % 3).toBe(0);
      expect(disturbed).toBeNull();
    }
  });

  it("give few rounds, spread over all, to what takes long", async () => {
    const rounds: number[] = [];
    let round = -1;
    const slow = () => {
      rounds.push(round);
      const end = performance.now() + 6;
      while (performance.now() < end);
    };
    const effort = { ...EFFORT, rounds: 9, subjectMs: 10 };
    const [timing] = await timeInRounds([slow], effort, (done) => {
      round = done;
    });
    expect(timing!.calls).toBe(3);
    // Warm-up and the first sample come before the first round's end.
    expect(rounds.slice(-3)).toEqual([-1, 2, 5]);
  });

  it("tell how much of the samples other work took", async () => {
    let now = 0;
    const idle = await timeInRounds(
      [() => 0],
      EFFORT,
      () => {},
      () => now,
    );
    expect(idle[0]!.disturbed).toBe(1);
    const busy = await timeInRounds(
      [() => 0],
      EFFORT,
      () => {},
      () => (now += 1e6),
    );
    expect(busy[0]!.disturbed).toBe(0);
  });

  it("take quantiles between the nearest values", () => {
    expect(quantile([1, 2, 4], 0.5)).toBe(2);
    expect(quantile([1, 2], 0.5)).toBe(1.5);
    expect(quantile([0, 10], 0.9)).toBe(9);
  });
});

describe("npm run bench", () => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, ["--import", "tsx", "bench/main.ts", "--no-peers", ...args], {
      cwd: ROOT,
      encoding: "utf8",
    });

  it("checks and measures what is asked for, and says what it could not", () => {
    const { status, stdout, stderr } = run("--quick", "--filter", "small-64");
    expect(stderr).toBe("");
    expect(stdout).toMatch(/roof: [\d.]+ GFLOP\/s strict/);
    expect(stdout).toMatch(/small-64: 1 head x 64 x 64[^│]*│\n│ +strict/);
    expect(stdout).toMatch(/│ +strict, 2 threads +│/);
    expect(stdout).not.toContain("recorded");
    if (!stdout.includes("│   fast")) expect(stdout).toContain("SKIPPED: the fast build");
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
    for (const text of ["--filter", "--quick", "--no-peers", "--compare", ...CASES.map(({ name }) => name)])
      expect(stdout).toContain(text);
  });
});
