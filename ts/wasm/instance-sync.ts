/**
 * Instances at once.
 */

import { EXPORT_NAMES, type KernelExports, type OperatorExports } from "./abi.ts";
import { accept, type InstanceOptions, importsFor, newMemory, notOurs, WasmInstance } from "./instance.ts";
import { forbiddenError } from "./loader.ts";

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
    throw forbiddenError(cause, {}) ?? notOurs(`it cannot be instantiated: ${String(cause)}`, cause);
  }
  return accept(instance.exports, names);
}

/** Instantiates attention's module. */
export function instantiateSync(options: InstanceOptions, module: WebAssembly.Module): WasmInstance {
  const memory = newMemory(options.memory, false);
  return new WasmInstance(options, module, linkSync<KernelExports>(module, memory, EXPORT_NAMES), memory);
}
