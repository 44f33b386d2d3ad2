// Every wasm module of the project, in both variants.
import { buildRoof } from "./roof.mjs";
import { MODULES, VARIANTS } from "./variants.mjs";
import { buildWasm, wasmSize } from "./wasm.mjs";

/** @returns {Promise<string>} what was done, in words */
export async function buildModules({ toolchain, note, force = false }) {
  let built = false;
  for (const variant of Object.keys(VARIANTS)) {
    for (const module of Object.keys(MODULES)) {
      const onStart = () => note(`${variant} ${module}`);
      built = (await buildWasm(variant, module, { toolchain, force, onStart })) || built;
    }
    built = (await buildRoof(variant, { toolchain, force, onStart: () => note("its roof probe") })) || built;
  }
  const sizes = Object.keys(VARIANTS).map((variant) => {
    const kibibytes = Object.keys(MODULES).map((module) => (wasmSize(variant, module) / 1024).toFixed(1));
    return `${variant} ${kibibytes.join(" + ")} KiB`;
  });
  return `${sizes.join(", ")}${built ? "" : ", unchanged"}`;
}
