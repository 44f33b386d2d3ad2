// The seam to the wasm: the argument block's layout, the module's exports, and what a trap leaves behind.
import { readFileSync } from "node:fs";
import binaryen from "binaryen";
import { attention, createEngine, SaccadeError, Tensor } from "saccade";
import { describe, expect, it } from "vitest";
import {
  ABI_FINGERPRINT,
  ATTENTION_BYTE_LENGTH,
  EXPORT_NAMES,
  type KernelExports,
  OPERATOR_EXPORT_NAMES,
} from "../../ts/wasm/abi.ts";
import * as fields from "../../ts/wasm/attention-fields.ts";
import { instantiateSync } from "../../ts/wasm/instance-sync.ts";
import { OPERATOR_OFFSETS } from "../../ts/wasm/operator-block.ts";
import { counted, expectWorks, withEngine } from "../api/refusal.ts";
import { attentionOffsets, fingerprint } from "../conformance/argument-block.ts";

const wasm = (build: string): Uint8Array<ArrayBuffer> =>
  new Uint8Array(readFileSync(new URL(`../../dist/saccade.${build}.wasm`, import.meta.url)));

const SIZE = { initialPages: 16, maximumPages: 64 };

describe("the argument block", () => {
  const options = { build: "strict", memory: SIZE, module: undefined, operators: undefined } as const;
  const { exports } = instantiateSync(options, new WebAssembly.Module(wasm("strict")));

  it("has the same fields at the same places on both sides", () => {
    const { length } = attentionOffsets;
    expect(Array.from({ length }, (_, index) => exports.abi_field(index) >>> 0)).toEqual(attentionOffsets);
    expect(exports.abi_field(length) >>> 0).toBe(ATTENTION_BYTE_LENGTH);
    expect(exports.abi_field(length + 1) >>> 0).toBe(0xffffffff);
    expect(exports.abi_fingerprint() >>> 0).toBe(ABI_FINGERPRINT);
    expect(ABI_FINGERPRINT).toBe(fingerprint([...attentionOffsets, ATTENTION_BYTE_LENGTH, ...OPERATOR_OFFSETS]));
  });

  it("is named by FNV-1a", () => {
    expect(fingerprint([])).toBe(0x811c9dc5);
    // The published value for the letter "a", followed by three zero bytes of the same word.
    const zero = (hash: number): number => Math.imul(hash, 0x01000193) >>> 0;
    expect(fingerprint([0x61])).toBe(zero(zero(zero(0xe40c292c))));
  });

  it("refuses what is not its own with a status, not with a trap", () => {
    expect(exports.plan(99, 0)).not.toBe(0);
    expect(exports.plan(1, 0)).not.toBe(0);
    expect(exports.plan(1, 0xfffffff0)).not.toBe(0);
    expect(exports.run(1, 7, exports.heap_base(), 0, 0, 1, 0)).not.toBe(0);
  });
});

/** The strict module with one function replaced or wrapped. */
function patched(change: (module: binaryen.Module) => void): Uint8Array<ArrayBuffer> {
  const module = binaryen.readBinary(wasm("strict"));
  const { SIMD128, BulkMemory, MutableGlobals, SignExt, NontrappingFPToInt, ReferenceTypes, Multivalue } =
    binaryen.Features;
  module.setFeatures(
    SIMD128 | BulkMemory | MutableGlobals | SignExt | NontrappingFPToInt | ReferenceTypes | Multivalue,
  );
  change(module);
  const bytes = Uint8Array.from(module.emitBinary());
  module.dispose();
  return bytes;
}

/** Makes `run` trap as soon as the block's batch is 77. */
function trapping(module: binaryen.Module): void {
  const { i32 } = binaryen;
  const original = binaryen.getExportInfo(module.getExport("run")).value;
  const args = Array.from({ length: 7 }, (_, index) => module.local.get(index, i32));
  const batch = module.i32.load(4 * fields.BATCH, 4, module.local.get(2, i32));
  const body = module.block(
    null,
    [module.if(module.i32.eq(batch, module.i32.const(77)), module.unreachable()), module.call(original, args, i32)],
    i32,
  );
  module.addFunction("run_or_trap", binaryen.createType([i32, i32, i32, i32, i32, i32, i32]), i32, [], body);
  module.removeExport("run");
  module.addFunctionExport("run_or_trap", "run");
}

describe("a trap", () => {
  it("poisons its engine, and says so from then on; other engines work", async () => {
    const module = new WebAssembly.Module(patched(trapping));
    await withEngine({ module }, async (engine) => {
      const tensor = Tensor.from(counted(2, 2), { engine });
      expectWorks(engine);
      const x = counted(77, 1, 1, 2);
      const poisoned = (call: () => unknown): SaccadeError => {
        let thrown: unknown;
        try {
          call();
        } catch (error) {
          thrown = error;
        }
        expect(thrown).toBeInstanceOf(SaccadeError);
        expect(thrown).toMatchObject({ code: "ERR_SACCADE_POISONED" });
        return thrown as SaccadeError;
      };
      const first = poisoned(() => attention(x, x, x, { engine }));
      expect(first.message).toBe(
        "attention: the wasm of this engine has trapped; make a new engine with createEngine()",
      );
      expect(first.cause).toBeInstanceOf(WebAssembly.RuntimeError);
      const y = counted(1, 2);
      poisoned(() => attention(y, y, y, { engine }));
      poisoned(() => Tensor.zeros([1], "float32", { engine }));
      poisoned(() => tensor.view());
      poisoned(() => engine.selfTest());
      tensor.dispose();
      expect(engine.stats()).toMatchObject({ tensors: 0, liveBytes: 0 });
      await withEngine({ module }, expectWorks);
    });
  });
});

describe("a module of another version", () => {
  it.each<[string, (module: binaryen.Module) => void, RegExp]>([
    [
      "another argument block",
      (module) => {
        module.addFunction("other", binaryen.createType([]), binaryen.i32, [], module.i32.const(5));
        module.removeExport("abi_fingerprint");
        module.addFunctionExport("other", "abi_fingerprint");
      },
      /its argument block is another one \(5, not [0-9a-f]+\).*another version/,
    ],
    ["a missing export", (module) => module.removeExport("plan"), /it exports no function plan/],
    [
      "an unknown import",
      (module) => {
        module.addFunctionImport("clock", "env", "now", binaryen.createType([]), binaryen.i32);
        module.addFunctionExport("clock", "clock");
      },
      /it imports the function "env\.now"/,
    ],
  ])("%s is refused when it is loaded", async (_, change, message) => {
    await expect(createEngine({ module: patched(change) })).rejects.toThrow(
      expect.objectContaining({ code: "ERR_SACCADE_WASM_LOAD", message: expect.stringMatching(message) }),
    );
  });
});

it("the generated types and ours name the same exports", async () => {
  const outputOf = (folder: string): string => {
    const declared = readFileSync(new URL(`../../pkg/${folder}/saccade.d.ts`, import.meta.url), "utf8");
    return declared.slice(declared.indexOf("interface InitOutput"));
  };
  const parameters: Record<keyof KernelExports, number> = {
    heap_base: 0,
    abi_fingerprint: 0,
    abi_field: 1,
    plan: 2,
    run: 7,
    shard_nodes: 3,
    shard_node: 4,
    shard_edge: 4,
    merge_scratch: 2,
  };
  const modules = [
    { output: outputOf("strict"), names: EXPORT_NAMES },
    { output: outputOf("strict-operators"), names: OPERATOR_EXPORT_NAMES },
  ];
  for (const { output, names } of modules) {
    for (const name of names) {
      const signature = new RegExp(`readonly ${name}: \\(([^)]*)\\) => number;`).exec(output);
      expect(signature, name).not.toBeNull();
      expect(signature![1]!.split(",").filter((part) => part.trim() !== "")).toHaveLength(parameters[name]);
    }
  }
});
