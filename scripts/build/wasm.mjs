// The crate as wasm modules: wasm-pack makes them, wasm-opt makes them small.
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../setup/commands.mjs";
import { SetupError } from "../setup/failure.mjs";
import { ROOT } from "../setup/project.mjs";
import { toolchainEnvironment } from "../setup/toolchain.mjs";
import { withoutCustomSections } from "./sections.mjs";
import { unlessDone } from "./stamp.mjs";
import { crateFlags, MODULES, wasmOptFlags } from "./variants.mjs";

const WASM_OPT = "node_modules/binaryen/bin/wasm-opt";

/** Builds a module of a variant into its folder in pkg/; returns whether there was anything to do. */
export async function buildWasm(variant, module, { toolchain, force, onStart }) {
  const folder = MODULES[module].folder(variant);
  const inputs = ["Cargo.toml", "Cargo.lock", "crate/Cargo.toml", "crate/src", "scripts/build"];
  const outputs = [`${folder}/saccade_bg.wasm`, `${folder}/saccade.named.wasm`, `${folder}/saccade.d.ts`];
  const settings = [
    toolchain.rustc,
    JSON.parse(readFileSync(join(ROOT, "node_modules/binaryen/package.json"), "utf8")).version,
  ];
  return await unlessDone(`wasm.${variant}.${module}`, { inputs, settings, outputs, force, onStart }, async () => {
    await wasmPack(variant, module, toolchain);
    const wasm = `${folder}/saccade_bg.wasm`;
    const named = `${folder}/saccade.named.wasm`;
    // Tests find functions by name in the named module; what is shipped is the same code without the names.
    // Low memory is the far end of the stack, so an address plus a small constant cannot wrap: loads may carry their
    // offset. The tile functions stay functions, each tiers up by itself.
    await wasmOpt(variant, [
      wasm,
      "-o",
      named,
      "--no-inline=*gemm_tile*",
      "-ocimfs",
      "200",
      "-O3",
      "-g",
      "--low-memory-unused",
    ]);
    writeFileSync(join(ROOT, wasm), withoutCustomSections(readFileSync(join(ROOT, named))));
    // Node.js 20 cannot check relaxed SIMD without a flag.
    if (variant === "strict" && !WebAssembly.validate(readFileSync(join(ROOT, wasm)))) {
      throw new SetupError(`${wasm} is not a valid module.`, { commands: ["npm run build -- --force"] });
    }
  });
}

/** How large a built module is, in bytes. */
export function wasmSize(variant, module) {
  return statSync(join(ROOT, MODULES[module].folder(variant), "saccade_bg.wasm")).size;
}

async function wasmPack(variant, module, toolchain) {
  const args = ["build", "crate", "--release", "--target", "web", "--no-pack", "--no-opt", "--mode", "no-install"];
  const out = ["--out-dir", `../${MODULES[module].folder(variant)}`, "--out-name", "saccade"];
  const features = ["--no-default-features", "--features", module];
  await run("wasm-pack", [...args, ...out, "--", "--locked", ...features], {
    cwd: ROOT,
    env: toolchainEnvironment(toolchain, { RUSTFLAGS: crateFlags(variant, module), RUST_BACKTRACE: "0" }),
    failure: `wasm-pack could not build the ${variant} module of ${module}.`,
    commands: ["npm run build"],
  });
}

async function wasmOpt(variant, args) {
  await run(process.execPath, [join(ROOT, WASM_OPT), ...args, ...wasmOptFlags(variant)], {
    cwd: ROOT,
    failure: `wasm-opt could not optimise the ${variant} module.`,
    commands: ["npm run build"],
  });
}
