/**
 * Whether the JavaScript engine has what every build of this package needs.
 */

/** A module of one function, `() -> v128`: `i32.const 0`, `i8x16.splat`. */
const SPLAT = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11];

/** Whether a module's bytes are valid here; false too where there is no wasm at all. */
export function validates(bytes: readonly number[]): boolean {
  try {
    return WebAssembly.validate(Uint8Array.from(bytes));
  } catch {
    return false;
  }
}

/** Whether fixed-width SIMD (128 bits) is there. */
export function hasSimd(): boolean {
  return validates(SPLAT);
}
