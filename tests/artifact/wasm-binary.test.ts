/** The reader itself, on modules written by hand: it must see what the artifact tests look for. */
import { describe, expect, it } from "vitest";
import { readWasm } from "./wasm-binary.ts";
import { innerLoops, vectorInstructions } from "./wasm-text.ts";

const text = (word: string) => [word.length, ...new TextEncoder().encode(word)];
const section = (id: number, ...body: number[]) => [id, body.length, ...body];
const module = (...sections: number[][]) => Uint8Array.from([0, 97, 115, 109, 1, 0, 0, 0, ...sections.flat()]);

describe("the reader of modules", () => {
  it("sees memories with and without a maximum, shared or not", () => {
    const memory = (...limits: number[]) => section(2, 1, ...text("m"), ...text("memory"), 2, ...limits);
    const limits = (bytes: Uint8Array) => readWasm(bytes).imports.map((one) => one.memory);
    expect(limits(module(memory(0, 1)))).toEqual([{ minimum: 1, shared: false }]);
    expect(limits(module(memory(1, 1, 0x80, 0x80, 4)))).toEqual([{ minimum: 1, maximum: 65536, shared: false }]);
    expect(limits(module(memory(3, 1, 2)))).toEqual([{ minimum: 1, maximum: 2, shared: true }]);
    expect(readWasm(module(section(5, 1, 0, 1))).memories).toBe(1);
  });

  it("sees start sections, mutable globals, exports and data of either kind", () => {
    const globals = section(6, 2, 0x7f, 1, 0x41, 0x7f, 0x0b, 0x7f, 0, 0x41, 0x80, 0x80, 4, 0x0b);
    const exports = section(7, 1, ...text("g"), 3, 0);
    const data = section(11, 2, 1, 1, 9, 0, 0x41, 0x80, 0x80, 4, 0x0b, 2, 7, 8);
    const wasm = readWasm(module(globals, exports, section(8, 0), data, section(0, ...text("name"))));
    expect(wasm.hasStart).toBe(true);
    expect(wasm.globals.map(({ mutable }) => mutable)).toEqual([true, false]);
    expect(wasm.exports).toEqual([{ name: "g", kind: 3, index: 0 }]);
    expect(wasm.data.map(({ passive, offset }) => [passive, offset])).toEqual([
      [true, Number.NaN],
      [false, 65536],
    ]);
    expect(Array.from(wasm.data[1]!.bytes)).toEqual([7, 8]);
    expect(wasm.customs).toEqual(["name"]);
  });

  it("refuses what is no module", () => {
    expect(() => readWasm(new TextEncoder().encode("<!doctype html>"))).toThrow(/no wasm module/);
    expect(() => readWasm(module([2, 40, 1]))).toThrow(RangeError);
  });

  it("counts the instructions of inner loops only", () => {
    const inner = "(loop $b (f32x4.mul (v128.load align=1 (i32.const 0)) (v128.load32_splat (i32.const 4))))";
    const outer = `(func (loop $a (v128.load (i32.const 8)) ${inner}) (f32x4.add))`;
    expect(innerLoops(outer)).toEqual([inner]);
    expect(vectorInstructions(inner)).toEqual({ "f32x4.mul": 1, "v128.load": 1, "v128.load32_splat": 1 });
  });
});
