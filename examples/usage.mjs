// @ts-check
/** What all examples do alike: parse what they are called with, write a file, and say in one line what makes no sense. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { parseArgs } from "node:util";

/** A mistake of the caller: one line on stderr, exit code 2. */
export class UsageError extends Error {}

/**
 * Options, and operands where they are allowed.
 *
 * @template {import("node:util").ParseArgsConfig} T
 * @param {T} config
 * @returns {ReturnType<typeof parseArgs<T>>}
 */
export function parseCall(config) {
  try {
    return parseArgs(config);
  } catch (error) {
    // Node's text goes on for several sentences; the first one names the mistake.
    const [first] = /** @type {Error} */ (error).message.split(/\. |\n/);
    throw new UsageError(`${first} (--help lists the options)`);
  }
}

/** Writes a file, and the folders it lies in. @param {string} path @param {string} content */
export async function save(path, content) {
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  } catch (error) {
    throw new UsageError(`cannot write ${path}: ${/** @type {Error} */ (error).message}`);
  }
}

/** Runs a program to its exit code, 0 where it gives none. @param {() => Promise<number | void>} main */
export async function runExample(main) {
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    const { code, message } = /** @type {{ code?: string, message?: string }} */ (error);
    // What the library refuses is the caller's mistake too: it says which one and why.
    if (!(error instanceof UsageError) && !code?.startsWith("ERR_SACCADE_")) throw error;
    console.error(message);
    process.exitCode = 2;
  }
}
