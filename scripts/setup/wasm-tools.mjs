// wasm-pack and wasm-bindgen: those on PATH if they are the right ones, else built from tools/ and kept outside the clone.
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { capture } from "./commands.mjs";
import { SetupError } from "./failure.mjs";
import { withLock } from "./lock.mjs";
import { lockedCrate, ROOT, readProject } from "./project.mjs";
import { withPath } from "./toolchain.mjs";

const LOCK = "tools/Cargo.lock";
const SUFFIX = process.platform === "win32" ? ".exe" : "";

/**
 * @param {import("./rust.mjs").Rust} rust
 * @param {(text: string) => void} note
 * @returns {Promise<{ path: string[], how: string }>} the folder to put in front of PATH, if one is needed
 */
export async function provideWasmTools(rust, note) {
  const wanted = { "wasm-pack": lockedCrate(LOCK, "wasm-pack"), "wasm-bindgen": lockedCrate(LOCK, "wasm-bindgen-cli") };
  const library = lockedCrate("Cargo.lock", "wasm-bindgen");
  if (library && library !== wanted["wasm-bindgen"]) {
    throw new SetupError(
      `Cargo.lock has wasm-bindgen ${library}, ${LOCK} has its command line at ${wanted["wasm-bindgen"]}: they must be equal.`,
      { commands: [`cargo update -p wasm-bindgen --precise ${wanted["wasm-bindgen"]}`] },
    );
  }
  const how = `${wanted["wasm-pack"]} and ${wanted["wasm-bindgen"]}`;
  if (await areRight(wanted)) return { path: [], how: `${how}, on PATH` };
  const cache = cacheFolder();
  const folder = join(cache, `${wanted["wasm-bindgen"]}-${wanted["wasm-pack"]}-${sourceKey()}`);
  if (await areRight(wanted, folder)) return { path: [folder], how };
  await withLock(
    `${folder}.lock`,
    async () => {
      if (await areRight(wanted, folder)) return;
      note("building, once per machine, a minute or two");
      await buildTools(folder, rust, Object.keys(wanted));
      if (await areRight(wanted, folder)) return;
      throw new SetupError(`The tools built in ${folder} do not run.`, { commands: [`rm -r ${folder}`] });
    },
    (pid) => note(`waiting for process ${pid}, which builds them (${folder}.lock)`),
  );
  return { path: [folder], how };
}

function cacheFolder() {
  if (process.env.SACCADE_TOOLS_CACHE) return process.env.SACCADE_TOOLS_CACHE;
  const local = process.platform === "win32" ? process.env.LOCALAPPDATA : undefined;
  return join(process.env.XDG_CACHE_HOME || local || join(homedir(), ".cache"), "saccade-tools");
}

/** What the binaries depend on: their sources, their lock file and the platform. */
function sourceKey() {
  const hash = createHash("sha256").update(`${process.platform} ${process.arch}`);
  const programs = readdirSync(join(ROOT, "tools/src/bin")).sort();
  for (const file of ["Cargo.toml", "Cargo.lock", ...programs.map((name) => `src/bin/${name}`)]) {
    hash.update(`\0${file}\0`).update(readProject(`tools/${file}`));
  }
  return hash.digest("hex").slice(0, 16);
}

/** Do the programs, in that folder or else on PATH, have these versions? */
async function areRight(wanted, folder) {
  for (const [name, version] of Object.entries(wanted)) {
    const program = folder ? join(folder, name + SUFFIX) : name;
    const said = await capture(program, ["--version"], { env: withPath([]) });
    if (!said.ok || said.stdout.trim().split(/\s+/)[1] !== version) return false;
  }
  return true;
}

async function buildTools(folder, rust, names) {
  const target = `${folder}.build`;
  mkdirSync(folder, { recursive: true });
  const args = ["build", "-q", "--release", "--locked", "--target-dir", target];
  const built = await capture("cargo", args, { cwd: join(ROOT, "tools"), env: withPath(rust.path) });
  if (!built.ok) {
    throw new SetupError("wasm-pack and wasm-bindgen could not be built from tools/.", {
      commands: ["cargo build --release --locked --manifest-path tools/Cargo.toml    (shows everything)"],
      log: built.output,
    });
  }
  for (const name of names) {
    const program = name + SUFFIX;
    copyFileSync(join(target, "release", program), join(folder, `${program}.new`));
    renameSync(join(folder, `${program}.new`), join(folder, program));
  }
  if (existsSync(target)) rmSync(target, { recursive: true, force: true });
}
