// Packages from npm: installed only when node_modules is not what package-lock.json says.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { capture, which } from "./commands.mjs";
import { SetupError } from "./failure.mjs";
import { atLeast, minimumNode, ROOT } from "./project.mjs";

/** Is this Node.js new enough? */
export function checkNode() {
  const version = process.versions.node;
  const minimum = minimumNode();
  if (!atLeast(version, minimum)) {
    throw new SetupError(`Node.js ${version} is too old: ${minimum} or newer is needed.`, {
      commands: ["nvm install 22 && nvm use 22    (or any other way to a newer Node.js: https://nodejs.org)"],
    });
  }
  return version;
}

/** @param {(text: string) => void} note */
export async function installPackages(note) {
  const { found, result } = await installLocked(ROOT, ["--include=dev"], note);
  if (result && !result.ok) {
    throw new SetupError("npm could not install the packages of package-lock.json.", {
      commands: ["npm ci"],
      log: result.output,
    });
  }
  return `${found()} packages${result ? " installed" : ", as locked"}`;
}

/**
 * Installs what a folder's package-lock.json says, where that is not there already; `result` is npm's, if it was run.
 * @param {string} folder
 * @param {string[]} options of npm ci
 * @param {(text: string) => void} note
 */
export async function installLocked(folder, options, note) {
  const wanted = Object.entries(readLock(folder, "package-lock.json").packages).filter(([path]) => path !== "");
  const found = () => wanted.filter(([path]) => existsSync(join(folder, path))).length;
  const reason = difference(folder, wanted);
  if (!reason) return { found };
  note(`npm ci, because ${reason}`);
  const [command, args] = npm();
  const result = await capture(command, [...args, "ci", ...options, "--no-audit", "--no-fund"], { cwd: folder });
  return { found, result };
}

/** Why node_modules does not match the lock file, in words; undefined if it does. */
function difference(folder, wanted) {
  const record = "node_modules/.package-lock.json";
  if (!existsSync(join(folder, record))) return "node_modules is not there yet";
  const installed = readLock(folder, record).packages;
  for (const [path, entry] of wanted) {
    const found = installed[path];
    // An optional package is absent wherever it is for another platform.
    if (!found && entry.optional) continue;
    if (!found || !existsSync(join(folder, path, "package.json"))) return `${path} is missing`;
    if (found.version !== entry.version || found.integrity !== entry.integrity)
      return `${path} is not ${entry.version}`;
  }
  const known = new Set(wanted.map(([path]) => path));
  const extra = Object.keys(installed).find((path) => !known.has(path));
  return extra ? `${extra} is not in package-lock.json` : undefined;
}

function readLock(folder, file) {
  try {
    return JSON.parse(readFileSync(join(folder, file), "utf8"));
  } catch (error) {
    throw new SetupError(`${file} cannot be read: ${error.message}`, { commands: ["git checkout package-lock.json"] });
  }
}

/** How to start npm: by its script where we know it, since npm.cmd cannot be started without a shell. */
function npm() {
  const script = process.env.npm_execpath ?? "";
  if (script.endsWith("npm-cli.js") && existsSync(script)) return [process.execPath, [script]];
  const besideNode = join(process.execPath, "..", "node_modules", "npm", "bin", "npm-cli.js");
  if (existsSync(besideNode)) return [process.execPath, [besideNode]];
  const found = which("npm");
  if (found) return [found, []];
  throw new SetupError("npm is not on PATH.", { commands: ["npm --version    (npm comes with Node.js)"] });
}
