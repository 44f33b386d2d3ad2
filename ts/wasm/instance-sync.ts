/**
 * Instances at once.
 */

import { EXPORT_NAMES, type KernelExports, type OperatorExports } from "./abi.ts";
import { foreignError } from "./foreign.ts";
import { type InstanceOptions, importsFor, isOurs, newMemory, WasmInstance } from "./instance.ts";

/** Instantiates a module. */
export function linkSync<T extends OperatorExports>(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  names: readonly string[],
): T {
  let exports: WebAssembly.Exports | undefined;
  let cause: unknown;
  try {
    ({ exports } = new WebAssembly.Instance(module, importsFor(module, memory)));
    if (isOurs(exports, names)) return exports as unknown as T;
  } catch (error) {
    cause = error;
  }
  throw foreignError(module, exports, names, cause);
}

/** Instantiates attention's module. */
export function instantiateSync(options: InstanceOptions, module: WebAssembly.Module): WasmInstance {
  const memory = newMemory(options.memory, false);
  return new WasmInstance(options, module, linkSync<KernelExports>(module, memory, EXPORT_NAMES), memory);
}
