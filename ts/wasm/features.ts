/**
 * What this JavaScript engine can do, asked by validating the smallest module that uses the feature: no user-agent
 * strings, no instance.
 */

import { SaccadeError } from "../errors.ts";
import { hasSimd, validates } from "./simd.ts";

/** The smallest module: magic number and version. It compiles wherever compiling is allowed at all. */
const EMPTY_MODULE = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

/**
 * `() -> v128`: three times `i32.const 0`, `i8x16.splat`, then `f32x4.relaxed_madd`.
 */
const RELAXED_MADD = [
  ...[...EMPTY_MODULE, 0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7b, 0x03, 0x02, 0x01, 0x00, 0x0a, 0x13, 0x01, 0x11, 0x00],
  ...[0x41, 0x00, 0xfd, 0x0f, 0x41, 0x00, 0xfd, 0x0f, 0x41, 0x00, 0xfd, 0x0f, 0xfd, 0x85, 0x02, 0x0b],
];

/** Whether relaxed SIMD is there (`f32x4.relaxed_madd`): what `build: "fast"` needs. */
export function hasRelaxedSimd(): boolean {
  return validates(RELAXED_MADD);
}

/**
 * Whether wasm is forbidden here, by a content security policy or by the host. Some engines refuse to compile, others
 * (WebKit) only to instantiate.
 */
export function isWasmForbidden(): boolean {
  try {
    new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(EMPTY_MODULE)));
    return false;
  } catch {
    return true;
  }
}

/** Throws where this JavaScript engine cannot run a build. */
export function assertSupported(build: "strict" | "fast", caller: string): void {
  if (!hasSimd()) {
    throw new SaccadeError("ERR_SACCADE_UNSUPPORTED", `${caller}: this JavaScript engine has no WebAssembly SIMD`);
  }
  if (build === "fast" && !hasRelaxedSimd()) {
    throw new SaccadeError(
      "ERR_SACCADE_UNSUPPORTED",
      `${caller}: build "fast" needs relaxed SIMD, which this JavaScript engine does not have; use build "strict"`,
    );
  }
}
