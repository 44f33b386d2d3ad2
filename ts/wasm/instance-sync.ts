/**
 * Instances at once.
 */

import { EXPORT_NAMES, type KernelExports, type OperatorExports } from "./abi.ts";
import { accept, type InstanceOptions, importsFor, linkError, newMemory, WasmInstance } from "./instance.ts";

/** Instantiates a module. */
export function linkSync<T extends OperatorExports>(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  names: readonly string[],
): T {
  const imports = importsFor(module, memory);
  let instance: WebAssembly.Instance;
  try {
    instance = new WebAssembly.Instance(module, imports);
  } catch (cause) {
    throw linkError(cause);
  }
  return accept(instance.exports, names);
}

/** Instantiates attention's module. */
export function instantiateSync(options: InstanceOptions, module: WebAssembly.Module): WasmInstance {
  const memory = newMemory(options.memory, false);
  return new WasmInstance(options, module, linkSync<KernelExports>(module, memory, EXPORT_NAMES), memory);
}
