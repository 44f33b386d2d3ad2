// Every wasm module of the project, in both variants.
import { buildRoof } from "./roof.mjs";
import { VARIANTS } from "./variants.mjs";
import { buildWasm, wasmSize } from "./wasm.mjs";

/** @returns {Promise<string>} what was done, in words */
export async function buildModules({ toolchain, note, force = false }) {
  let built = false;
  for (const variant of Object.keys(VARIANTS)) {
    built = (await buildWasm(variant, { toolchain, force, onStart: () => note(variant) })) || built;
    built = (await buildRoof(variant, { toolchain, force, onStart: () => note("its roof probe") })) || built;
  }
  const sizes = Object.keys(VARIANTS).map((variant) => `${variant} ${(wasmSize(variant) / 1024).toFixed(1)} KiB`);
  return `${sizes.join(", ")}${built ? "" : ", unchanged"}`;
}
