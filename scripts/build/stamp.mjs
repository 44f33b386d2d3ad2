// Work is skipped when neither what it reads nor what it wrote has changed since it was last done.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, STATE } from "../setup/project.mjs";

/**
 * Does the work unless its stamp says that it is done.
 * @param {string} name of the stamp
 * @param {object} what files and folders of the project
 * @param {string[]} what.inputs
 * @param {string[]} what.outputs
 * @param {unknown} [what.settings] anything else on which the outputs depend
 * @param {boolean} [what.force] do it in any case
 * @param {() => void} [what.onStart] called before the work
 * @param {() => Promise<void>} work
 * @returns {Promise<boolean>} whether there was anything to do
 */
export async function unlessDone(name, { inputs, settings, outputs, force = false, onStart }, work) {
  const stamp = join(STATE, "stamps", name);
  const inputHash = hashOf(inputs, settings);
  const text = () => `${inputHash} ${hashOf(outputs)}\n`;
  if (!force && outputs.every((path) => existsSync(join(ROOT, path))) && read(stamp) === text()) return false;
  rmSync(stamp, { force: true });
  onStart?.();
  await work();
  mkdirSync(join(STATE, "stamps"), { recursive: true });
  writeFileSync(stamp, text());
  return true;
}

function hashOf(paths, settings) {
  const hash = createHash("sha256").update(JSON.stringify(settings ?? null));
  for (const file of paths.flatMap(filesUnder)) hash.update(`\0${file}\0`).update(readFileSync(join(ROOT, file)));
  return hash.digest("hex");
}

/** All files of a folder in a fixed order, or the file itself; nothing if it is not there. */
function filesUnder(path) {
  const found = statSync(join(ROOT, path), { throwIfNoEntry: false });
  if (!found) return [];
  if (!found.isDirectory()) return [path];
  return readdirSync(join(ROOT, path))
    .sort()
    .flatMap((name) => filesUnder(`${path}/${name}`));
}

function read(file) {
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
}
