/**
 * What this JavaScript engine can do, asked by validating the smallest module that uses the feature: no user-agent
 * strings, no instance. Each module is one function that returns a v128.
 */

/** The smallest module: magic number and version. It compiles wherever compiling is allowed at all. */
const EMPTY_MODULE = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

/** `i32.const 0`, `i8x16.splat`. */
const ZERO_VECTOR = [0x41, 0x00, 0xfd, 0x0f];

/** A module with one function `() -> v128` of the given instructions. */
function moduleOf(instructions: readonly number[]): Uint8Array<ArrayBuffer> {
  const body = [0x00, ...instructions, 0x0b];
  const typeSection = [0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7b];
  const functionSection = [0x03, 0x02, 0x01, 0x00];
  const codeSection = [0x0a, body.length + 2, 0x01, body.length, ...body];
  return Uint8Array.from([...EMPTY_MODULE, ...typeSection, ...functionSection, ...codeSection]);
}

function validates(bytes: Uint8Array<ArrayBuffer>): boolean {
  try {
    return typeof WebAssembly === "object" && WebAssembly.validate(bytes);
  } catch {
    return false;
  }
}

/** Whether fixed-width SIMD (128 bits) is there: what every build of this package needs. */
export function hasSimd(): boolean {
  return validates(moduleOf(ZERO_VECTOR));
}

/** Whether relaxed SIMD is there (`f32x4.relaxed_madd`): what `build: "fast"` needs. */
export function hasRelaxedSimd(): boolean {
  return validates(moduleOf([...ZERO_VECTOR, ...ZERO_VECTOR, ...ZERO_VECTOR, 0xfd, 0x85, 0x02]));
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
