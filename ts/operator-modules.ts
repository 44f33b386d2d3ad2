/**
 * The second module of an engine, that of the operators beside attention: loaded with the engine, or when one is first
 * called. What calls operators brings this along; a program without them loads it only to take the module it was given.
 */

import { moduleFor } from "./modules.ts";
import { moduleForSync } from "./modules-sync.ts";
import { currentPlatform } from "./platform.ts";
import { OPERATOR_EXPORT_NAMES, type OperatorExports } from "./wasm/abi.ts";
import { notOurs } from "./wasm/foreign.ts";
import { link, type WasmInstance } from "./wasm/instance.ts";
import { linkSync } from "./wasm/instance-sync.ts";
import type { OperatorModules } from "./wasm/wanted.ts";

/** How operators come into an engine. */
export const operators: OperatorModules = {
  // Who gives one module alone says where neither lies by default. Threads are given their modules when they start.
  isNeeded: ({ module }, change) =>
    module === undefined && (change !== undefined || currentPlatform().readSync === undefined),

  async load(options, signal, change) {
    const module = await moduleFor("operators", options, signal, change);
    return async (instance) => {
      if (instance.operators !== undefined) return;
      take(instance, await link<OperatorExports>(module, instance.wasmMemory, OPERATOR_EXPORT_NAMES), module);
    };
  },

  open(instance, caller) {
    const module = moduleForSync("operators", instance.modules, caller, instance.pool?.change);
    return take(instance, linkSync<OperatorExports>(module, instance.wasmMemory, OPERATOR_EXPORT_NAMES), module);
  },
};

/** The operators' constants lie behind attention's: nothing else tells a file from the other by what it exports. */
function take(instance: WasmInstance, exports: OperatorExports, module: WebAssembly.Module): OperatorExports {
  if (exports.heap_base() >>> 0 <= instance.exports.heap_base() >>> 0) {
    throw notOurs("it is the module of attention, given as the one of the operators");
  }
  instance.operators = exports;
  instance.operatorsModule = module;
  return exports;
}
