// Which Rust and which wasm tools this clone uses, remembered between runs, and the environment that finds them.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { SetupError } from "./failure.mjs";
import { STATE } from "./project.mjs";

const RECORD = join(STATE, "toolchain.json");

/** Folders put in front of PATH: for rustc and cargo, and for wasm-pack and wasm-bindgen. Empty where PATH has them.
 * @typedef {{ rustPath: string[], toolsPath: string[], rustc: string, route: string }} Toolchain */

/** @returns {Partial<Toolchain>} what the last set-up recorded */
export function recordedToolchain() {
  try {
    return JSON.parse(readFileSync(RECORD, "utf8"));
  } catch {
    return {};
  }
}

/** @param {Toolchain} toolchain */
export function recordToolchain(toolchain) {
  mkdirSync(dirname(RECORD), { recursive: true });
  writeFileSync(RECORD, `${JSON.stringify(toolchain, null, 2)}\n`);
}

/** The recorded toolchain, for scripts that are run without set-up. @returns {Toolchain} */
export function requireToolchain() {
  const toolchain = recordedToolchain();
  const folders = [...(toolchain.rustPath ?? []), ...(toolchain.toolsPath ?? [])];
  if (!toolchain.rustc || !folders.every((folder) => existsSync(folder))) {
    throw new SetupError("The toolchain is not set up in this clone.", { commands: ["npm run setup"] });
  }
  return /** @type {Toolchain} */ (toolchain);
}

/** An environment in which cargo, rustc, wasm-pack and wasm-bindgen are those of the toolchain. */
export function toolchainEnvironment(toolchain, extra = {}) {
  const env = withPath([...(toolchain.rustPath ?? []), ...(toolchain.toolsPath ?? [])]);
  return { ...env, ...extra };
}

/** This process's environment with folders in front of PATH, without what would change how cargo compiles. */
export function withPath(folders) {
  const env = { ...process.env };
  for (const name of ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC", "RUSTDOCFLAGS"])
    delete env[name];
  const key = Object.keys(env).find((name) => name.toUpperCase() === "PATH") ?? "PATH";
  env[key] = [...folders, env[key] ?? ""].join(delimiter);
  return env;
}
