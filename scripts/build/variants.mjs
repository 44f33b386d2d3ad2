// The two builds of one source, and the flags that make them.

/** `strict` uses SIMD128 alone and gives the same bits everywhere; `fast` adds relaxed SIMD. */
export const VARIANTS = {
  strict: { targetFeatures: "+simd128", wasmOptFeatures: [] },
  fast: { targetFeatures: "+simd128,+relaxed-simd", wasmOptFeatures: ["relaxed-simd"] },
};

/**
 * The modules of a variant, each named by the crate's feature. They work on one memory, one behind the other: the linker puts
 * the constants of `attention` behind the stack, and those of `operators` where the first ones have ended for certain.
 * Tensors begin behind both (HEAP_START in ts/wasm/abi.ts).
 */
export const MODULES = {
  attention: { folder: (variant) => `pkg/${variant}`, file: (variant) => `saccade.${variant}.wasm`, linkArguments: [] },
  operators: {
    folder: (variant) => `pkg/${variant}-operators`,
    file: (variant) => `saccade.${variant}.operators.wasm`,
    linkArguments: ["--global-base=81920"],
  },
};

// What rustc's output may contain by itself; wasm-opt accepts nothing that is not named.
const COMMON_WASM_OPT_FEATURES = [
  "simd",
  "bulk-memory",
  "nontrapping-float-to-int",
  "sign-ext",
  "mutable-globals",
  "reference-types",
  "multivalue",
];

// The loader owns the memory and gives it in, so that one module can serve several engines. The stack is the lowest
// part of it (rustc's default), so that its overflow traps instead of overwriting data.
const LINK_ARGUMENTS = ["--import-memory", "--max-memory=4294967296", "--export=__stack_pointer", "-zstack-size=65536"];

// The kernels say themselves what is a vector and what is unrolled. What the compiler adds of its own makes cold code
// larger (a fifteenth of the module) and hot code no faster. Nor may it rebuild addresses (loop strength reduction): it turns
// the constant offsets of a tile's splat loads, which the instruction carries for nothing, into additions; without it
// the tile runs an eighth faster.
const CODE_FLAGS = [
  "-C no-vectorize-loops",
  "-C no-vectorize-slp",
  "-C llvm-args=-unroll-runtime=false",
  "-C llvm-args=-disable-lsr",
];

/** RUSTFLAGS of the crate. @param {keyof typeof VARIANTS} variant @param {keyof typeof MODULES} module */
export function crateFlags(variant, module = "attention") {
  const link = [...LINK_ARGUMENTS, ...MODULES[module].linkArguments].map((argument) => `-C link-arg=${argument}`);
  return [probeFlags(variant), ...CODE_FLAGS, ...link].join(" ");
}

/** RUSTFLAGS of a plain module of the same instruction set. @param {keyof typeof VARIANTS} variant */
export function probeFlags(variant) {
  return `-C target-feature=${VARIANTS[variant].targetFeatures}`;
}

/** wasm-opt's feature flags. @param {keyof typeof VARIANTS} variant */
export function wasmOptFlags(variant) {
  return [...COMMON_WASM_OPT_FEATURES, ...VARIANTS[variant].wasmOptFeatures].map((feature) => `--enable-${feature}`);
}
