/** Takes the built files apart: what they import, export, keep and weigh. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { rollup } from "rollup";
import { minifySync } from "vite";
import { describe, expect, it } from "vitest";
import {
  ABI_FINGERPRINT,
  ATTENTION_BYTE_LENGTH,
  EXPORT_NAMES,
  HEAP_START,
  OPERATOR_EXPORT_NAMES,
} from "../../ts/wasm/abi.ts";
import { attentionOffsets } from "../conformance/argument-block.ts";
import { callFunction, instantiate, sampleOf } from "../conformance/functions.ts";
import { type Build, wasmFile } from "../conformance/harness.ts";
import { callOperator } from "../conformance/operators.ts";
import { fromBits } from "../reference/functions.mjs";
import { OPERATOR_FILES, type OperatorFile } from "../vectors/operator-case.ts";
import { dataLimit, gzipLimits } from "./limits.ts";
import { readWasm } from "./wasm-binary.ts";
import { functionsOf, innerLoops, vectorInstructions } from "./wasm-text.ts";

const root = new URL("../../", import.meta.url);
const read = (path: string) => new Uint8Array(readFileSync(new URL(path, root)));
const operatorFiles = OPERATOR_FILES.map(
  (name): OperatorFile => JSON.parse(readFileSync(new URL(`tests/data/operators/${name}.json`, root), "utf8")),
);
const builds = ["strict", "fast"] as const;
const runs = (build: Build) => build === "strict" || WebAssembly.validate(read("dist/saccade.fast.wasm"));

const modules = builds.flatMap((build) => [
  { build, name: "attention" as const, exported: EXPORT_NAMES, from: 65536, to: 81920 },
  { build, name: "operators" as const, exported: OPERATOR_EXPORT_NAMES, from: 81920, to: HEAP_START },
]);

describe.each(modules)("the $build module of $name", ({ build, name, exported, from, to }) => {
  const file = wasmFile(build, name);
  const bytes = read(`dist/${file}`);
  const wasm = readWasm(bytes);

  it("imports one memory with a maximum and wasm-bindgen's table initialiser, nothing else", () => {
    const memories = wasm.imports.filter(({ kind }) => kind === "memory");
    expect(memories.map(({ memory }) => memory)).toEqual([
      { minimum: expect.any(Number), maximum: 65536, shared: false },
    ]);
    const others = wasm.imports.filter(({ kind }) => kind !== "memory");
    expect(others.map(({ name, kind }) => `${kind} ${name}`)).toEqual(["function __wbindgen_init_externref_table"]);
    expect(wasm.memories).toBe(0);
  });

  it("has no start section and no passive data, so instantiating it again touches nothing else", () => {
    expect(wasm.hasStart).toBe(false);
    expect(wasm.sections).not.toContain(8);
    expect(wasm.data.filter(({ passive }) => passive)).toEqual([]);
  });

  it("exports the stack pointer, the only mutable global", () => {
    const mutable = wasm.globals.flatMap(({ mutable }, index) => (mutable ? [index] : []));
    const exported = wasm.exports.filter(({ kind }) => kind === 3);
    const stack = exported.find(({ name }) => name === "__stack_pointer");
    expect(mutable).toEqual([stack?.index]);
  });

  it("exports the functions of the boundary", () => {
    const functions = wasm.exports.filter(({ kind }) => kind === 0).map(({ name }) => name);
    expect(functions.sort()).toEqual(["__wbindgen_start", ...exported].sort());
  });

  it("carries no names, and few constants", () => {
    expect(wasm.customs).toEqual([]);
    const size = wasm.data.reduce((sum, { bytes: part }) => sum + part.length, 0);
    expect(size).toBeLessThan(dataLimit);
  });

  it.runIf(runs(build))("keeps its constants in its own part of the memory, and writes to nothing there", async () => {
    const kernel = await instantiate(new Uint8Array(bytes));
    const lowest = Math.min(...wasm.data.map(({ offset }) => offset));
    // The stack is first, so that its overflow traps: constants begin where it ends.
    expect(lowest).toBe(from);
    expect(kernel.heap_base() >>> 0).toBeLessThanOrEqual(to);
    const constants = () => new Uint8Array(kernel.memory.buffer.slice(65536, kernel.heap_base() >>> 0));
    const before = constants();
    const own = (offset: number, length: number) => before.subarray(offset - 65536, offset - 65536 + length);
    for (const { offset, bytes: part } of wasm.data) expect(own(offset, part.length)).toEqual(part);
    if (name === "attention") {
      const input = Float32Array.from(sampleOf("exp2", false).subarray(0, 4096), fromBits);
      callFunction(kernel, "exp2", input);
      callFunction(kernel, "tanh", input);
    } else {
      for (const { cases } of operatorFiles) for (const call of cases.slice(0, 2)) await callOperator(kernel, call);
    }
    expect(constants()).toEqual(before);
  });

  it.runIf(runs(build) && name === "attention")(
    "lays its argument block out as the TypeScript table says",
    async () => {
      const module = await WebAssembly.compile(bytes);
      const { exports } = await WebAssembly.instantiate(module, importsOf(module));
      const { abi_field, abi_fingerprint } = exports as Record<string, (i?: number) => number>;
      const { length } = attentionOffsets;
      const offsets = Array.from({ length }, (_, i) => abi_field!(i) >>> 0);
      expect(offsets).toEqual(attentionOffsets);
      expect(abi_field!(length) >>> 0).toBe(ATTENTION_BYTE_LENGTH);
      expect(abi_field!(length + 1) >>> 0).toBe(0xffffffff);
      expect(abi_fingerprint!() >>> 0).toBe(ABI_FINGERPRINT);
    },
  );

  it("stays within its size", () => {
    const size = gzipSync(bytes, { level: 9 }).length;
    console.log(`${file}: ${bytes.length} bytes, ${size} after gzip`);
    expect(size).toBeLessThan(gzipLimits.wasm);
  });
});

function importsOf(module: WebAssembly.Module): WebAssembly.Imports {
  const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {};
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    imports[from] ??= {};
    imports[from][name] = kind === "memory" ? new WebAssembly.Memory({ initial: 64, maximum: 65536 }) : () => {};
  }
  return imports;
}

describe("instructions", () => {
  const textOf = (path: string) => [...functionsOf(read(path)).values()].join("\n");
  const everything = (build: Build) =>
    textOf(`dist/${wasmFile(build)}`) + textOf(`dist/${wasmFile(build, "operators")}`);
  const named = (build: Build) => [`pkg/${build}/saccade.named.wasm`, `pkg/${build}-operators/saccade.named.wasm`];
  const tiles = (build: Build) =>
    named(build)
      .flatMap((path) => [...functionsOf(read(path))])
      .filter(([name]) => name.includes("gemm_tile"));

  it("are relaxed in fast and never in strict", () => {
    expect(everything("strict")).not.toMatch(/relaxed/);
    expect(everything("fast")).toMatch(/f32x4\.relaxed_madd/);
  });

  it("of the strict 4 x 8 tile are 8 products, 8 sums, 4 splats and 2 loads a step, of which a turn has 8 or 4", () => {
    const found = tiles("strict");
    expect(found.length).toBeGreaterThan(0);
    const four = { "f32x4.mul": 32, "f32x4.add": 32, "v128.load32_splat": 16, "v128.load": 8 };
    const eight = { "f32x4.mul": 64, "f32x4.add": 64, "v128.load32_splat": 32, "v128.load": 16 };
    for (const [name, text] of found) {
      // One loop where B's rows lie side by side, one where they lie apart; in whichever order.
      const loops = innerLoops(text).map(vectorInstructions);
      expect(loops, name).toHaveLength(2);
      expect(loops, name).toEqual(expect.arrayContaining([four, eight]));
    }
  });

  it("of the fast 4 x 8 tile are 8 relaxed multiply-adds, 4 splats and 2 loads a step, of which a turn has 8 or 4", () => {
    const found = tiles("fast");
    expect(found.length).toBeGreaterThan(0);
    const four = { "f32x4.relaxed_madd": 32, "v128.load32_splat": 16, "v128.load": 8 };
    const eight = { "f32x4.relaxed_madd": 64, "v128.load32_splat": 32, "v128.load": 16 };
    for (const [name, text] of found) {
      // One loop where B's rows lie side by side, one where they lie apart; in whichever order.
      const loops = innerLoops(text).map(vectorInstructions);
      expect(loops, name).toHaveLength(2);
      expect(loops, name).toEqual(expect.arrayContaining([four, eight]));
    }
  });

  it("are the same in the named module as in the shipped one", () => {
    for (const build of builds) {
      expect(vectorInstructions(everything(build))).toEqual(vectorInstructions(named(build).map(textOf).join("\n")));
    }
  });
});

describe("JavaScript", () => {
  it("of the core stays within its size: init, attention and Tensor as a bundler leaves them in a page", async () => {
    const entry = fileURLToPath(new URL("dist/browser.js", root));
    const page = { name: "page", resolveId: (id: string) => (id === "page" ? id : null) };
    const code = `export { attention, init, Tensor } from ${JSON.stringify(entry)};`;
    // Every bundler reads which modules have effects of their own.
    const { sideEffects } = JSON.parse(readFileSync(new URL("package.json", root), "utf8"));
    const moduleSideEffects = (id: string) => sideEffects.some((path: string) => id.endsWith(path.slice(1)));
    const bundle = await rollup({
      input: "page",
      plugins: [{ ...page, load: (id) => (id === "page" ? code : null) }],
      treeshake: { moduleSideEffects },
    });
    const { output } = await bundle.generate({ format: "es" });
    const chunks = new Map(output.flatMap((part) => (part.type === "chunk" ? [[part.fileName, part] as const] : [])));
    const loaded = new Set<string>();
    const load = (name: string): void => {
      const chunk = chunks.get(name);
      if (chunk === undefined || loaded.has(name)) return;
      loaded.add(name);
      chunk.imports.forEach(load);
    };
    load("page.js");
    const sizeOf = (names: Iterable<string>): number => {
      const parts = [...names].map((name) => chunks.get(name)!.code);
      return gzipSync(minifySync("page.js", parts.join(""), { module: true }).code, { level: 9 }).length;
    };
    const size = sizeOf(loaded);
    console.log(`init, attention and Tensor alone: ${size} bytes minified and after gzip`);
    // init() without options loads none of these.
    for (const name of chunks.keys()) {
      if (!loaded.has(name)) console.log(`  on demand, ${name}: ${sizeOf([name])} bytes`);
    }
    expect(size).toBeLessThan(gzipLimits.core);
  });

  it.each(["node", "browser"])("dist/%s.js with all that it imports stays within its size", (entry) => {
    const seen = new Map<string, string>();
    const visit = (url: URL) => {
      if (seen.has(url.href)) return;
      const text = readFileSync(url, "utf8");
      seen.set(url.href, text);
      for (const [, path] of text.matchAll(/\b(?:from|import)\s*["'](\.[^"']+\.js)["']/g)) visit(new URL(path!, url));
    };
    visit(new URL(`dist/${entry}.js`, root));
    // What a page pays: bundlers take comments and long names off.
    const minified = [...seen].map(([name, text]) => minifySync(name, text, { module: true }).code).join("");
    const size = gzipSync(minified, { level: 9 }).length;
    console.log(`dist/${entry}.js: ${seen.size} files, ${size} bytes minified and after gzip`);
    expect(size).toBeLessThan(gzipLimits.entry);
  });
});
