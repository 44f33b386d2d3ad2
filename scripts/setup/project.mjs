// What the project's own files say: where it is, and which versions it asks for.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
/** What set-up and build remember about this clone; safe to delete. */
export const STATE = join(ROOT, ".tools");

/** @param {string} file path inside the project */
export function readProject(file) {
  return readFileSync(join(ROOT, file), "utf8");
}

/** The oldest Node.js that package.json allows. */
export function minimumNode() {
  return JSON.parse(readProject("package.json")).engines.node.replace(/^[^\d]*/, "");
}

/** The oldest rustc that Cargo.toml allows. */
export function minimumRust() {
  return /^rust-version = "([\d.]+)"/m.exec(readProject("Cargo.toml"))?.[1] ?? "1.86";
}

/** The version of a package in a Cargo.lock, or undefined. @param {string} lockFile @param {string} name */
export function lockedCrate(lockFile, name) {
  if (!existsSync(join(ROOT, lockFile))) return undefined;
  return new RegExp(`^name = "${name}"\\r?\\nversion = "([^"]+)"`, "m").exec(readProject(lockFile))?.[1];
}

/** Is version a at least version b? Dotted numbers; missing ones are 0. @param {string} a @param {string} b */
export function atLeast(a, b) {
  const [left, right] = [a, b].map((version) => version.split(/[.\-+~]/).map((part) => Number.parseInt(part, 10) || 0));
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}
