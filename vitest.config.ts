import { defineConfig } from "vitest/config";

// Node.js 20 has relaxed SIMD only behind a flag; later ones have it without, and do not know the flag.
const flags = process.versions.node.startsWith("20.") ? ["--experimental-wasm-relaxed-simd"] : [];

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    environment: "node",
    // Worker threads do not take engine flags.
    pool: "forks",
    execArgv: flags,
    testTimeout: 30_000,
  },
});
