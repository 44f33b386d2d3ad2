// What is said when something is missing: what is wrong, the end of the log, the command to type.

/** Something this machine lacks or refused, with what its owner can do about it. */
export class SetupError extends Error {
  /**
   * @param {string} message what is wrong
   * @param {{ commands?: string[], log?: string }} [advice] commands of which one puts it right; the end of a log
   */
  constructor(message, { commands = [], log = "" } = {}) {
    super(message);
    this.name = "SetupError";
    this.commands = commands;
    this.log = log;
  }
}

/** The message as a person reads it. @param {SetupError} error */
export function describeFailure(error) {
  const lines = ["", `error: ${error.message}`];
  if (error.log) lines.push("", ...lastLines(error.log, 30).map((line) => `  | ${line}`));
  if (error.commands.length > 0) {
    lines.push("", error.commands.length > 1 ? "To go on, type one of these and start again:" : "To go on, type:");
    lines.push(...error.commands.map((command) => `  ${command}`));
  }
  return lines.join("\n");
}

/** @param {string} text @param {number} count */
export function lastLines(text, count) {
  return text
    .split(/\r?\n/)
    .filter((line) => line.trim() !== "")
    .slice(-count);
}
