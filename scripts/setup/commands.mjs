// Running other programs.
import { spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { SetupError } from "./failure.mjs";

const WINDOWS = process.platform === "win32";

/**
 * Runs a program to its end and keeps what it printed. Never throws: `code` is null if it could not be started or was stopped.
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, timeoutMs?: number }} [options]
 * @returns {Promise<{ ok: boolean, code: number | null, stdout: string, output: string, timedOut: boolean }>}
 */
export function capture(command, args, { cwd, env, timeoutMs } = {}) {
  return new Promise((resolve) => {
    let stdout = "";
    let output = "";
    let timedOut = false;
    let timer;
    const finish = (code) => {
      clearTimeout(timer);
      resolve({ ok: code === 0, code, stdout, output, timedOut });
    };
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    if (timeoutMs) {
      timer = setTimeout(() => {
        timedOut = true;
        child.kill("SIGKILL");
      }, timeoutMs);
    }
    child.stdout.setEncoding("utf8").on("data", (text) => {
      stdout += text;
      output += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
    child.on("error", (error) => {
      output += error.message;
      finish(null);
    });
    child.on("close", finish);
  });
}

/** Like capture, but a program that fails ends the script with its last lines. */
export async function run(command, args, { failure, commands, ...options } = {}) {
  const result = await capture(command, args, options);
  if (!result.ok) {
    const message = failure ?? `${[command, ...args].join(" ")} failed`;
    throw new SetupError(result.timedOut ? `${message}: it took too long` : message, { commands, log: result.output });
  }
  return result;
}

/**
 * Runs a program on this terminal. With `onLine`, its standard output passes through us line by line.
 * @returns {Promise<number>} its exit code; 128 + n after signal n, as shells say it
 */
export function stream(command, args, { cwd, env, onLine } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, stdio: ["inherit", onLine ? "pipe" : "inherit", "inherit"] });
    if (onLine) {
      // Whole lines only, or the program's two outputs would cut each other's lines in pieces.
      createInterface({ input: child.stdout }).on("line", (line) => {
        process.stdout.write(`${line}\n`);
        onLine(line);
      });
    }
    // Ctrl-C reaches the child by itself; we stay to report how it ended.
    const ignore = () => {};
    process.on("SIGINT", ignore);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      process.off("SIGINT", ignore);
      resolve(code ?? (signal === "SIGINT" ? 130 : 143));
    });
  });
}

/** The first program of that name on PATH, or undefined. @param {string} name */
export function which(name, path = process.env.PATH ?? "") {
  const names = WINDOWS ? [`${name}.exe`, `${name}.cmd`] : [name];
  for (const folder of path.split(delimiter)) {
    for (const file of names) if (folder && isProgram(join(folder, file))) return join(folder, file);
  }
  return undefined;
}

function isProgram(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
