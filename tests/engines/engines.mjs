// The engines beside Node and browsers: where npm puts their programs, and how they are started.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** The first `folder/*` + `file` there is; npm installs the one package that is for this machine. */
function programIn(folder, file) {
  if (!existsSync(folder)) return undefined;
  return readdirSync(folder)
    .map((name) => join(folder, name, file))
    .find((path) => existsSync(path));
}

/** @param {string} packages the folder node_modules */
export const engines = [
  {
    name: "Deno",
    find: (packages) => programIn(join(packages, "@deno"), "deno"),
    /** The least that the package needs: its own files, and what the program reads. */
    run: (file, folder) => ["run", "--no-prompt", "--cached-only", `--allow-read=${folder}`, file],
  },
  {
    name: "Bun",
    find: (packages) => programIn(join(packages, "@oven"), "bin/bun"),
    run: (file) => ["run", "--no-install", file],
  },
];
