// Makes a clone ready: packages, Rust, wasm tools, and the build. Uses Node's built-in modules only.
import { parseArgs } from "node:util";
import { buildBundle } from "./build/bundle.mjs";
import { buildModules } from "./build/modules.mjs";
import { isMain, runScript } from "./setup/entry.mjs";
import { withLock } from "./setup/lock.mjs";
import { checkNode, installPackages } from "./setup/node-packages.mjs";
import { Progress } from "./setup/progress.mjs";
import { STATE } from "./setup/project.mjs";
import { provideRust, TARGET } from "./setup/rust.mjs";
import { recordToolchain } from "./setup/toolchain.mjs";
import { provideWasmTools } from "./setup/wasm-tools.mjs";

const HELP = `usage: npm run setup [-- --only-rust]

Gets this clone ready, and only checks what is ready already. npm start, npm test, npm run check and npm run bench
begin with it.

  --only-rust   only see to a Rust compiler for ${TARGET} (what an administrator may have to do)

Environment:
  SACCADE_RUST=auto|path|rustup|debian   where Rust comes from: rustc as it is on PATH, rustup target add, Debian's
                                         packages; auto tries them in this order
  SACCADE_RUSTUP_TIMEOUT=seconds         how long rustup may take (120)
  SACCADE_TOOLS_CACHE=folder             where wasm-pack and wasm-bindgen are kept
                                         (the user's cache folder, saccade-tools)`;

/** Sets up and builds, with one line of progress per step. */
export async function setup() {
  const progress = new Progress(6);
  const lock = `${STATE}/setup.lock`;
  let toolchain;
  await withLock(
    lock,
    async () => {
      await progress.step("Node.js", () => checkNode());
      await progress.step("packages from npm", installPackages);
      let rust;
      await progress.step(`Rust target ${TARGET}`, async (note) => {
        rust = await provideRust(note);
        return rust.how;
      });
      await progress.step("wasm-pack and wasm-bindgen", async (note) => {
        const tools = await provideWasmTools(rust, note);
        toolchain = { route: rust.route, rustc: rust.rustc, rustPath: rust.path, toolsPath: tools.path };
        recordToolchain(toolchain);
        return tools.how;
      });
      await progress.step("wasm modules", (note) => buildModules({ toolchain, note }));
      await progress.step("JavaScript library", (note) => buildBundle({ note }));
    },
    (pid) => console.log(`waiting for process ${pid}, which is setting up this clone (${lock})`),
  );
  return toolchain;
}

async function main() {
  const { values } = parseArgs({
    options: { help: { type: "boolean", short: "h" }, "only-rust": { type: "boolean" } },
  });
  if (values.help) console.log(HELP);
  else if (values["only-rust"]) {
    await new Progress(1).step(`Rust target ${TARGET}`, async (note) => (await provideRust(note)).how);
  } else await setup();
  return 0;
}

if (isMain(import.meta.url)) await runScript(main);
