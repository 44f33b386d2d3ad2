// The probe that measures this machine's SIMD peak; built as plain cargo builds it, so that nothing reshapes its loops.
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "../setup/commands.mjs";
import { ROOT } from "../setup/project.mjs";
import { toolchainEnvironment } from "../setup/toolchain.mjs";
import { unlessDone } from "./stamp.mjs";
import { probeFlags } from "./variants.mjs";

const TARGET = "wasm32-unknown-unknown";
const INPUTS = ["Cargo.toml", "Cargo.lock", "bench/roof/Cargo.toml", "bench/roof/src", "scripts/build"];

/** Builds bench/roof/dist/roof.<variant>.wasm; returns whether there was anything to do. */
export async function buildRoof(variant, { toolchain, force, onStart }) {
  if (!existsSync(join(ROOT, "bench/roof/Cargo.toml"))) return false;
  const output = `bench/roof/dist/roof.${variant}.wasm`;
  const work = { inputs: INPUTS, settings: [toolchain.rustc], outputs: [output], force, onStart };
  return await unlessDone(`roof.${variant}`, work, async () => {
    const folder = `target/roof-${variant}`;
    const args = ["build", "-q", "--release", "--locked", "-p", "roof", "--target", TARGET, "--target-dir", folder];
    await run("cargo", args, {
      cwd: ROOT,
      env: toolchainEnvironment(toolchain, { RUSTFLAGS: probeFlags(variant) }),
      failure: `cargo could not build the ${variant} roof probe.`,
      commands: ["npm run build"],
    });
    mkdirSync(join(ROOT, "bench/roof/dist"), { recursive: true });
    copyFileSync(join(ROOT, folder, TARGET, "release", "roof.wasm"), join(ROOT, output));
  });
}
