// Builds everything from source with the toolchain that set-up found.
import { parseArgs } from "node:util";
import { buildBundle } from "./build/bundle.mjs";
import { buildModules } from "./build/modules.mjs";
import { runScript } from "./setup/entry.mjs";
import { withLock } from "./setup/lock.mjs";
import { Progress } from "./setup/progress.mjs";
import { STATE } from "./setup/project.mjs";
import { requireToolchain } from "./setup/toolchain.mjs";

const HELP = `usage: npm run build [-- --force]

Builds pkg/strict and pkg/fast (wasm), bench/roof/dist (the probe of the machine's peak) and dist (the package).
What has not changed is not built again.

  --force   build it all again`;

async function main() {
  const { values } = parseArgs({ options: { help: { type: "boolean", short: "h" }, force: { type: "boolean" } } });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const force = values.force ?? false;
  const toolchain = requireToolchain();
  const progress = new Progress(2);
  await withLock(`${STATE}/setup.lock`, async () => {
    await progress.step("wasm modules", (note) => buildModules({ toolchain, note, force }));
    await progress.step("JavaScript library", (note) => buildBundle({ note, force }));
  });
  return 0;
}

await runScript(main);
