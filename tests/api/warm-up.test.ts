// Warming up calls every kind of kernel that it is said to call, and leaves nothing behind.
import { afterEach, describe, expect, it, vi } from "vitest";
import { KIND_ATTENTION, KIND_CACHE, KIND_OPERATOR } from "../../ts/wasm/abi.ts";
import { CACHE, FLAGS, Q_LEN } from "../../ts/wasm/attention-fields.ts";
import { fresh, wasmBytes } from "./fresh-package.ts";

afterEach(() => {
  vi.unstubAllGlobals();
});

const DTYPES: Record<number, string> = { 0: "float32", 1: "float16", 2: "bfloat16", 5: "int8" };
const FLAG_CAUSAL = 2;

/** Counts the wasm's calls by what they are asked for, as their argument blocks say. */
function watchCalls(): Map<string, number> {
  const seen = new Map<string, number>();
  const count = (name: string) => seen.set(name, (seen.get(name) ?? 0) + 1);
  const { instantiate } = WebAssembly;
  const watched = async (module: WebAssembly.Module, imports: WebAssembly.Imports) => {
    const { exports } = await instantiate(module, imports);
    const memory = Object.values(imports)
      .flatMap((names) => Object.values(names))
      .find((value) => value instanceof WebAssembly.Memory)!;
    const run = exports["run"] as (...args: number[]) => number;
    const counting = (...args: number[]) => {
      const [kind, , block] = args as [number, number, number];
      const u32 = new Uint32Array(memory.buffer);
      const word = (index: number) => u32[(block >>> 2) + index]!;
      if (kind === KIND_OPERATOR) count("operator");
      // Its block begins with a copy of the cache's header, whose first word is the dtype.
      if (kind === KIND_CACHE) count(`append to ${DTYPES[word(0)]}`);
      if (kind === KIND_ATTENTION) {
        const rows = word(Q_LEN) > 1 ? "rows" : "row";
        if (word(CACHE) !== 0) count(`${rows} of ${DTYPES[u32[word(CACHE) >>> 2]!]}`);
        else count(`${rows}${word(FLAGS) & FLAG_CAUSAL ? ", causal" : ""}`);
      }
      return run(...args);
    };
    return { exports: { ...exports, run: counting } };
  };
  vi.stubGlobal("WebAssembly", Object.assign(Object.create(WebAssembly), { instantiate: watched }));
  return seen;
}

const OF_EACH = Object.values(DTYPES).flatMap((dtype) => [`append to ${dtype}`, `row of ${dtype}`]);

describe("warming up", () => {
  it.each([
    [false, ["row", "row, causal", ...OF_EACH, "operator"]],
    [true, ["rows", "rows, causal", "row", "row, causal", ...OF_EACH, "operator"]],
  ])("warmup: %s calls each kind of kernel, and leaves no byte", async (warmup, kinds) => {
    const saccade = await fresh();
    const seen = watchCalls();
    const engine = await saccade.createEngine({
      warmup,
      operators: wasmBytes("saccade.strict.operators.wasm"),
    });
    // The self-test, which every engine makes, is one causal call of many rows.
    const missing = kinds.filter((kind) => (seen.get(kind) ?? 0) < 1);
    expect(missing).toEqual([]);
    expect(seen.get("rows, causal") ?? 0).toBeGreaterThan(warmup ? 1 : 0);
    expect(engine.stats()).toMatchObject({ liveBytes: 0, tensors: 0 });
  });

  it("calls attention and a step of decoding at least nine times: then the JavaScript engine remembers what they meet", async () => {
    const saccade = await fresh();
    const seen = watchCalls();
    await saccade.createEngine();
    const total = (pattern: RegExp) =>
      [...seen].reduce((sum, [name, times]) => sum + (pattern.test(name) ? times : 0), 0);
    expect(total(/^rows?(, causal)?$/)).toBeGreaterThanOrEqual(9);
    expect(total(/^row of/)).toBeGreaterThanOrEqual(9);
  });
});
