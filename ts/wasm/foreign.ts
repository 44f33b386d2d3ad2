/**
 * Why a module that compiles is none of ours: loaded only where one is refused.
 */

import { SaccadeError } from "../errors.ts";
import { ABI_FINGERPRINT, type OperatorExports } from "./abi.ts";
import { forbiddenError } from "./loader.ts";

/** The error for a file that is another than it should be. */
export function notOurs(reason: string, cause?: unknown): SaccadeError {
  const hint = "the wasm file is not one of this package's, or of another version: take the one in its dist folder";
  return new SaccadeError("ERR_SACCADE_WASM_LOAD", `the wasm module cannot be used: ${reason} (${hint})`, {
    hint,
    cause,
  });
}

/**
 * The error for a module that cannot be instantiated, or whose `exports` are not those named.
 *
 * @param cause - what instantiating it threw
 */
export function foreignError(
  module: WebAssembly.Module,
  exports: WebAssembly.Exports | undefined,
  names: readonly string[],
  cause: unknown,
): SaccadeError {
  return forbiddenError(cause, {}) ?? notOurs(reasonOf(module, exports, names, cause), cause);
}

function reasonOf(
  module: WebAssembly.Module,
  exports: WebAssembly.Exports | undefined,
  names: readonly string[],
  cause: unknown,
): string {
  const imports = WebAssembly.Module.imports(module);
  const other = imports.find(
    ({ name, kind }) => kind !== "memory" && !name.startsWith("__wbindgen_init_externref_table"),
  );
  if (other !== undefined) return `it imports the ${other.kind} ${JSON.stringify(`${other.module}.${other.name}`)}`;
  if (!imports.some(({ kind }) => kind === "memory")) return "it imports no memory";
  if (exports === undefined) return `it cannot be instantiated: ${String(cause)}`;
  const missing = names.find((name) => typeof exports[name] !== "function");
  if (missing !== undefined) return `it exports no function ${missing}`;
  const fingerprint = (exports as unknown as OperatorExports).abi_fingerprint() >>> 0;
  if (fingerprint === ABI_FINGERPRINT) return "its constants lie where tensors do";
  return `its argument block is another one (${fingerprint.toString(16)}, not ${ABI_FINGERPRINT.toString(16)})`;
}
