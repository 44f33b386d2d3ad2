// What this Node.js needs to be told.

/** Node.js 20 has relaxed SIMD only behind a flag; later ones have it without, and do not know the flag. */
export function relaxedSimdFlags() {
  return process.versions.node.startsWith("20.") ? ["--experimental-wasm-relaxed-simd"] : [];
}
