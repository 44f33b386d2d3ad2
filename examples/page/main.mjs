// @ts-check
/** Serves the page twice: with the two headers that threads need, and without. `--help` says what it takes. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { stopEverything, temporaryFolder } from "../../tests/browser/processes.mjs";
import { serve } from "../../tests/browser/server.mjs";
import { parseCall, runExample, UsageError } from "../usage.mjs";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const HELP = `usage: node examples/page/main.mjs [--port N]

Serves a page that computes a second of attention while it keeps moving: in slices, on several threads, in a worker without
shared memory, and at once, for comparison; with progress and a button that cancels. It shows the longest time between two frames.

  --port N   where it listens (8080; 0: any that is free)
  --help     this text

It runs until it is ended (Ctrl-C). exit code: 0 ended, 2 the options do not make sense`;

/** @param {string[]} args */
function readArguments(args) {
  const options = /** @type {const} */ ({
    port: { type: "string", default: "8080" },
    help: { type: "boolean", short: "h", default: false },
  });
  const { values } = parseCall({ args, options, strict: true, allowPositionals: false });
  const port = /^\d{1,5}$/.test(values.port) ? Number(values.port) : 65_536;
  if (port > 65_535) throw new UsageError(`--port is a whole number from 0 to 65535, not "${values.port}"`);
  return { help: values.help, port };
}

/** The page and all it loads, as any application would bundle it. @returns {Promise<string>} the folder */
async function bundle() {
  const folder = temporaryFolder("saccade-example-");
  const entry = (/** @type {string} */ name) => join(ROOT, "dist", `${name}.js`);
  await build({
    configFile: false,
    logLevel: "error",
    publicDir: false,
    root: join(ROOT, "examples/page"),
    base: "./",
    // In a program of its own, `npm install` of the package makes these two names known.
    resolve: {
      alias: [
        { find: /^saccade$/, replacement: entry("browser") },
        { find: /^saccade\/worker$/, replacement: entry("worker-browser") },
      ],
    },
    worker: { format: "es" },
    build: { outDir: folder, emptyOutDir: false, target: "esnext", assetsInlineLimit: 0, modulePreload: false },
  });
  return folder;
}

async function main() {
  const { help, port } = readArguments(process.argv.slice(2));
  if (help) {
    console.log(HELP);
    return;
  }
  process.once("exit", stopEverything);
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(0));
  const folder = await bundle();
  const { origin } = await serve({ mounts: { "/plain/": folder, "/isolated/": folder }, answers: {}, port }).catch(
    (error) => {
      throw new UsageError(`--port ${port}: ${/** @type {Error} */ (error).message}`);
    },
  );
  console.log(`with the two headers, so with threads:    ${origin}/isolated/`);
  console.log(`without them, so with a worker at most:   ${origin}/plain/`);
}

await runExample(main);
