// A Rust compiler that can build for wasm32-unknown-unknown: found, or completed by rustup, or made from Debian's packages.
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { capture, which } from "./commands.mjs";
import { completeDebian, debianAdvice, debianInstalled, installLinker, mayUseDebian } from "./debian.mjs";
import { SetupError } from "./failure.mjs";
import { atLeast, minimumRust, ROOT } from "./project.mjs";
import { recordedToolchain, withPath } from "./toolchain.mjs";

export const TARGET = "wasm32-unknown-unknown";
export const ROUTES = ["auto", "path", "rustup", "debian"];

// Uses std, links, and needs SIMD: what the project asks of a compiler, in one line each.
const WASM_PROBE = `use core::arch::wasm32::*;
#[no_mangle] pub unsafe extern "C" fn probe(p: *const u8) -> i32 {
    vec![u8x16_bitmask(v128_load(p.cast())) as i32; 2].iter().sum()
}`;

/**
 * A compiler and where it is. `path` holds the folders to put in front of PATH.
 * @typedef {{ route: string, path: string[], rustc: string, version: string, how: string }} Rust
 */

/**
 * Finds or makes a compiler, in the order rustc as it is, rustup, Debian; SACCADE_RUST names one route.
 * @param {(text: string) => void} note
 * @returns {Promise<Rust>}
 */
export async function provideRust(note) {
  const wanted = process.env.SACCADE_RUST || "auto";
  if (!ROUTES.includes(wanted)) {
    throw new SetupError(`SACCADE_RUST=${wanted} is none of ${ROUTES.join(", ")}.`, {
      commands: ["unset SACCADE_RUST"],
    });
  }
  // A clone that once had to fall back on Debian does not ask rustup again each time.
  const fellBack = recordedToolchain().route === "debian";
  const attempts = {
    auto: [asItIs, ...(fellBack ? [debianAsItIs] : []), byRustup, debianAsItIs, byDebian],
    path: [asItIs],
    rustup: [asItIs, byRustup],
    debian: [debianAsItIs, byDebian],
  }[wanted];
  const reasons = [];
  for (const attempt of attempts) {
    const rust = await attempt(note, reasons, wanted);
    if (rust) return rust;
  }
  throw noRust(reasons);
}

async function asItIs(note, reasons, wanted) {
  const path = rustPath();
  let found = await inspect(path);
  if (found.reason === "linker" && mayUseDebian(wanted) && which("apt-get")) {
    note("installing a C compiler, which Rust links with");
    if (await installLinker(reasons)) found = await inspect(path);
  }
  if (found.reason) {
    reasons.push(found.reason === "linker" ? "There is no C compiler (cc), which Rust links with." : found.reason);
    return undefined;
  }
  if (wanted === "rustup" && !found.managed) {
    reasons.push("The rustc on PATH does not belong to rustup.");
    return undefined;
  }
  return { ...found, route: found.managed ? "rustup" : "path", path };
}

async function byRustup(note, reasons) {
  const path = rustPath();
  const rustup = which("rustup", withPath(path).PATH);
  if (!rustup) return undefined;
  const seconds = Number(process.env.SACCADE_RUSTUP_TIMEOUT) || 120;
  note(`rustup target add ${TARGET}`);
  const options = { cwd: ROOT, env: withPath(path), timeoutMs: seconds * 1000 };
  const added = await capture(rustup, ["target", "add", TARGET], options);
  if (!added.ok) {
    const line = added.output.split("\n").find((text) => /^(error|caused by)|could not/i.test(text.trim()));
    reasons.push(
      `rustup could not add ${TARGET}: ${added.timedOut ? `no end in ${seconds} s` : (line ?? "it failed")}`,
    );
    return undefined;
  }
  const found = await inspect(path);
  if (!found.reason) return { ...found, route: "rustup", path };
  reasons.push(found.reason);
  return undefined;
}

async function debianAsItIs() {
  const path = debianInstalled();
  if (!path) return undefined;
  const found = await inspect(path);
  return found.reason ? undefined : { ...found, how: `Debian's rustc ${found.version}`, route: "debian", path };
}

async function byDebian(note, reasons, wanted) {
  if (!which("apt-get") || !mayUseDebian(wanted)) return undefined;
  const path = await completeDebian(note, reasons, TARGET, async (candidate) => !(await inspect(candidate)).reason);
  if (!path) return undefined;
  const found = await inspect(path);
  if (found.reason) {
    reasons.push(`Debian's packages: ${found.reason}`);
    return undefined;
  }
  return { ...found, how: `Debian's rustc ${found.version}`, route: "debian", path };
}

/** rustup's own folder of programs, where a shell has not been told of it. */
function rustPath() {
  if (which("rustc") && which("cargo")) return [];
  const folder = join(process.env.CARGO_HOME || join(homedir(), ".cargo"), "bin");
  return which("rustc", folder) && which("cargo", folder) ? [folder] : [];
}

/** What the rustc found there is, or the reason why it will not do. */
async function inspect(path) {
  const env = withPath(path);
  const options = { cwd: ROOT, env };
  const verbose = await capture("rustc", ["-vV"], options);
  if (!verbose.ok)
    return { reason: verbose.code === null ? "There is no rustc on PATH." : `rustc: ${firstLine(verbose.output)}` };
  const version = /^release: (.+)$/m.exec(verbose.stdout)?.[1] ?? "0";
  const minimum = minimumRust();
  if (!atLeast(version, minimum)) return { reason: `rustc ${version} is too old: ${minimum} or newer is needed.` };
  const cargo = await capture("cargo", ["-V"], options);
  if (!cargo.ok) return { reason: "There is no cargo beside rustc." };
  const sysroot = (await capture("rustc", ["--print", "sysroot"], options)).stdout.trim();
  const missing = `rustc ${version} has no standard library for ${TARGET}.`;
  if (!hasStd(join(sysroot, "lib", "rustlib", TARGET, "lib"))) return { reason: missing };
  const rustc = `${verbose.stdout.trim()}\nsysroot: ${sysroot}`;
  // The probes cost half a second; a compiler that has passed them once is the same compiler until it says otherwise.
  if (recordedToolchain().rustc !== rustc) {
    const reason = await probe(options);
    if (reason) return { reason };
  }
  const managed = basename(dirname(sysroot)) === "toolchains";
  return { rustc, version, managed, how: `${managed ? "rustup" : "rustc"} ${version}` };
}

function hasStd(folder) {
  return existsSync(folder) && readdirSync(folder).some((file) => /^libstd-.*\.rlib$/.test(file));
}

/** Compiles and links one program for wasm and one for this machine (build scripts need that). */
async function probe(options) {
  const folder = mkdtempSync(join(tmpdir(), "saccade-probe-"));
  try {
    writeFileSync(join(folder, "wasm.rs"), WASM_PROBE);
    writeFileSync(join(folder, "host.rs"), "fn main() {}");
    const target = ["--target", TARGET, "--crate-type", "cdylib", "-C", "target-feature=+simd128"];
    const compile = (name, more) =>
      capture("rustc", ["--edition", "2021", ...more, `${name}.rs`, "-o", `${name}.out`], { ...options, cwd: folder });
    const wasm = await compile("wasm", target);
    if (!wasm.ok) return `rustc cannot link for ${TARGET}: ${firstLine(wasm.output)}`;
    const host = await compile("host", []);
    if (host.ok) return undefined;
    return /linker .* not found/.test(host.output) ? "linker" : `rustc cannot link: ${firstLine(host.output)}`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function firstLine(text) {
  const lines = text.split("\n").map((line) => line.trim());
  return lines.find((line) => line.startsWith("error")) ?? lines.find(Boolean) ?? "it failed";
}

function noRust(reasons) {
  const why = [...new Set(reasons)].map((reason) => `\n  - ${reason}`).join("");
  const commands = [rustAdvice(reasons.join("\n")), ...(which("apt-get") ? [debianAdvice()] : [])];
  return new SetupError(`No Rust compiler here can build for ${TARGET}.${why}`, { commands });
}

function rustAdvice(reasons) {
  if (reasons.includes("no C compiler")) {
    return which("apt-get")
      ? "sudo apt-get install build-essential"
      : "xcode-select --install    (or your system's C compiler)";
  }
  if (which("rustup", withPath(rustPath()).PATH)) {
    return reasons.includes("too old") ? "rustup update stable" : `rustup target add ${TARGET}`;
  }
  if (process.platform === "win32") return `winget install Rustlang.Rustup && rustup target add ${TARGET}`;
  return `curl -sSf https://sh.rustup.rs | sh -s -- -y --target ${TARGET}    (installs rustup)`;
}
