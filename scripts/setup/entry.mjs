// How a script starts and how it ends when something is missing: one message, exit code 1, no stack trace.
import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describeFailure, SetupError } from "./failure.mjs";

/** Was this module started by itself, and not imported? @param {string} url its import.meta.url */
export function isMain(url) {
  return process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(url);
}

/** Runs a script's main function; its result is the exit code. @param {() => Promise<number>} main */
export async function runScript(main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    // parseArgs says by itself which option it does not know.
    const wrongOption = error?.code?.startsWith?.("ERR_PARSE_ARGS");
    if (!(error instanceof SetupError) && !wrongOption) throw error;
    console.error(wrongOption ? `error: ${error.message} (--help lists the options)` : describeFailure(error));
    process.exitCode = wrongOption ? 2 : 1;
  }
}
