// Everything a browser run starts goes through here, so that everything is ended with it.
import { spawn } from "node:child_process";
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

const running = new Set();
const folders = new Set();

/** The first of `names` that is an executable path or is found on PATH, or undefined. */
export function findExecutable(names) {
  const candidates = names.flatMap((name) => {
    if (!name) return [];
    if (name.includes("/")) return [name];
    return (process.env.PATH ?? "")
      .split(delimiter)
      .filter(Boolean)
      .map((folder) => join(folder, name));
  });
  return candidates.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Starts a program as the leader of its own process group; its children then end with it. */
export function start(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options, detached: true });
  running.add(child);
  child.on("error", () => running.delete(child));
  return child;
}

export function stop(child) {
  running.delete(child);
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

/** A new folder under the system's temporary folder, removed at the end of the run. */
export function temporaryFolder(prefix) {
  const folder = mkdtempSync(join(tmpdir(), prefix));
  folders.add(folder);
  return folder;
}

export function removeFolder(folder) {
  folders.delete(folder);
  // A browser that is being killed may still write into its profile for a moment.
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
}

export function stopEverything() {
  for (const child of [...running]) stop(child);
  for (const folder of [...folders]) {
    try {
      removeFolder(folder);
    } catch {
      // Left to the system's own cleaning of its temporary folder.
    }
  }
}

export const delay = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Rejects when `promise` has not settled in time. */
export function within(milliseconds, what, promise) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: no answer within ${milliseconds / 1000} s`)), milliseconds);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}
