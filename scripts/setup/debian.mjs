// Rust from Debian's packages. Where they hold no standard library for wasm, it is built once from their own source.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { copyFile, mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { capture, which } from "./commands.mjs";
import { lastLines } from "./failure.mjs";
import { atLeast, minimumRust, ROOT, STATE } from "./project.mjs";
import { withPath } from "./toolchain.mjs";

const SYSTEM = "/usr/bin";
const PROGRAMS = ["rustc", "rustdoc", "cargo", "cargo-clippy", "clippy-driver", "rustfmt", "cargo-fmt"];
const APT = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };

/** Packages are installed unasked only by root in a container or in CI, or where the route was named. */
export function mayUseDebian(wanted) {
  return process.getuid?.() === 0 && (wanted === "debian" || inContainer() || inCi());
}

export function inCi() {
  return Boolean(process.env.CI) && !["0", "false"].includes(process.env.CI);
}

function inContainer() {
  if (process.env.container || existsSync("/.dockerenv") || existsSync("/run/.containerenv")) return true;
  try {
    return /docker|kubepods|containerd|lxc/.test(readFileSync("/proc/1/cgroup", "utf8"));
  } catch {
    return false;
  }
}

/** The command by which root takes this route. */
export function debianAdvice() {
  if (process.getuid?.() === 0) return "SACCADE_RUST=debian npm run setup";
  return `sudo env SACCADE_RUST=debian ${process.execPath} ${join(ROOT, "scripts", "setup.mjs")} --only-rust`;
}

/** The PATH folder of Debian's own Rust if it is installed. @returns {string[] | undefined} */
export function debianInstalled() {
  if (!existsSync("/etc/debian_version") || !which("rustc", SYSTEM) || !which("cargo", SYSTEM)) return undefined;
  if (which("rustc")?.startsWith(`${SYSTEM}/`)) return [];
  // Only Rust's programs, so that nothing else of the system folder comes to stand before what is on PATH.
  const folder = join(STATE, "debian-rust");
  mkdirSync(folder, { recursive: true });
  for (const name of PROGRAMS.filter((program) => which(program, SYSTEM) && !existsSync(join(folder, program)))) {
    symlinkSync(join(SYSTEM, name), join(folder, name));
  }
  return [folder];
}

/** Installs the C compiler that rustc links with. @param {string[]} reasons */
export async function installLinker(reasons) {
  return await aptInstall(["gcc", "libc6-dev"], reasons);
}

/**
 * Installs the packages and, where needed, builds the target's standard library into their sysroot.
 * @param {(text: string) => void} note
 * @param {string[]} reasons
 * @param {string} target
 * @param {(path: string[]) => Promise<boolean>} isUsable can the Rust there build for the target?
 * @returns {Promise<string[] | undefined>} as debianInstalled; undefined with a reason added
 */
export async function completeDebian(note, reasons, target, isUsable) {
  const chosen = await choosePackages(note);
  if (!chosen) {
    reasons.push(`This Debian has no rustc ${minimumRust()} or newer.`);
    return undefined;
  }
  note(`apt-get install ${chosen[0]}`);
  if (!(await aptInstall(chosen, reasons))) return undefined;
  if (chosen[0] === "rustc-web") {
    // rust-lld is a link into the linker package of the same LLVM, which is only suggested.
    const link = (await capture("readlink", [join(SYSTEM, "rust-lld")])).stdout.trim();
    if (!(await aptInstall([link.split("/").pop() || "lld", "rust-web-clippy", "rustfmt-web"], reasons)))
      return undefined;
  }
  const path = debianInstalled();
  if (!path) {
    reasons.push(`Debian's packages brought no rustc into ${SYSTEM}.`);
    return undefined;
  }
  if (chosen[0] !== "rustc-web" || (await isUsable(path))) return path;
  const sysroot = (await capture(join(SYSTEM, "rustc"), ["--print", "sysroot"])).stdout.trim();
  note(`building std for ${target}, about 40 s`);
  return (await buildStd(sysroot, target, reasons)) ? path : undefined;
}

/** @returns {Promise<string[] | undefined>} the packages of a new enough rustc, its target and its linters */
async function choosePackages(note) {
  const choose = async () => {
    if (atLeast(await candidate("libstd-rust-dev-wasm32"), minimumRust())) {
      return ["rustc", "cargo", "libstd-rust-dev-wasm32", "lld", "rust-clippy", "rustfmt"];
    }
    if (!atLeast(await candidate("rustc-web"), minimumRust())) return undefined;
    return ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm"];
  };
  const known = await choose();
  if (known) return known;
  note("apt-get update");
  await capture("apt-get", ["update", "-qq"], { env: APT, timeoutMs: 180_000 });
  return await choose();
}

async function candidate(name) {
  const policy = await capture("apt-cache", ["policy", name], { env: { ...APT, LC_ALL: "C" } });
  return /^ {2}Candidate: (?:\d+:)?(\d[\d.]*)/m.exec(policy.stdout)?.[1] ?? "0";
}

async function aptInstall(packages, reasons) {
  const args = ["install", "-y", "-qq", "--no-remove", "--no-install-recommends", ...packages];
  let result = await capture("apt-get", args, { env: APT, timeoutMs: 400_000 });
  if (!result.ok) {
    // Lists that are too old name files that are gone.
    await capture("apt-get", ["update", "-qq"], { env: APT, timeoutMs: 180_000 });
    result = await capture("apt-get", args, { env: APT, timeoutMs: 400_000 });
  }
  if (!result.ok) reasons.push(`apt-get install ${packages.join(" ")}: ${lastLines(result.output, 1)[0] ?? "failed"}`);
  return result.ok;
}

async function buildStd(sysroot, target, reasons) {
  const source = join(sysroot, "lib", "rustlib", "src", "rust");
  const library = join(source, "library");
  const folder = mkdtempSync(join(tmpdir(), "saccade-std-"));
  try {
    await writeFile(join(folder, "lib.rs"), "");
    await writeFile(
      join(folder, "Cargo.toml"),
      '[package]\nname = "stdbuild"\nversion = "0.0.0"\nedition = "2021"\n[lib]\npath = "lib.rs"\n[workspace]\n',
    );
    const vendored = [
      ["--config", 'source.crates-io.replace-with="vendored"'],
      ["--config", `source.vendored.directory="${join(library, "vendor")}"`],
    ].flat();
    const built = await capture(
      join(SYSTEM, "cargo"),
      [
        ...(existsSync(join(library, "vendor")) ? vendored : []),
        ...["build", "-q", "--release", "--target", target, "--target-dir", join(folder, "target")],
        ...["-Z", "build-std=std,panic_abort,panic_unwind,test,proc_macro"],
      ],
      { cwd: folder, env: await stdEnvironment(source) },
    );
    if (!built.ok) {
      reasons.push(`std for ${target} did not build: ${lastLines(built.output, 1)[0] ?? ""}`);
      return false;
    }
    await layIntoSysroot(join(folder, "target", target, "release", "deps"), join(sysroot, "lib", "rustlib", target));
    return true;
  } catch (error) {
    reasons.push(`std for ${target} could not be laid into ${sysroot}: ${error.message}`);
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function stdEnvironment(source) {
  const verbose = await capture(join(SYSTEM, "rustc"), ["-vV"]);
  const commit = /^commit-hash: (.+)$/m.exec(verbose.stdout)?.[1] ?? "unknown";
  return {
    ...withPath([]),
    RUSTC: join(SYSTEM, "rustc"),
    // Released compilers accept -Z only so; the project's own build uses no -Z at all.
    RUSTC_BOOTSTRAP: "1",
    // Keeps these crates' symbols apart from those of crates that happen to have the same name and version.
    __CARGO_DEFAULT_LIB_METADATA: "saccade-std",
    RUSTFLAGS: `-C embed-bitcode=yes --remap-path-prefix=${source}=/rustc/${commit}`,
  };
}

async function layIntoSysroot(built, destination) {
  const fresh = `${destination}.new`;
  await rm(fresh, { recursive: true, force: true });
  await mkdir(join(fresh, "lib"), { recursive: true });
  for (const file of await readdir(built)) {
    if (!file.endsWith(".rlib") || file.startsWith("libstdbuild-")) continue;
    await copyFile(join(built, file), join(fresh, "lib", file));
  }
  await rm(destination, { recursive: true, force: true });
  await rename(fresh, destination);
}
