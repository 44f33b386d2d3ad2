// Sets up, installs the libraries that are measured beside ours, then measures.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { stream } from "./setup/commands.mjs";
import { relaxedSimdFlags } from "./setup/engine.mjs";
import { runScript } from "./setup/entry.mjs";
import { lastLines } from "./setup/failure.mjs";
import { installLocked } from "./setup/node-packages.mjs";
import { Progress } from "./setup/progress.mjs";
import { ROOT } from "./setup/project.mjs";
import { setup } from "./setup.mjs";

const HELP = `usage: npm run bench [-- options of bench/main.ts]

Sets up this clone (npm run setup -- --help), installs other libraries into bench/peers (not with --no-peers), then measures.
`;

const PEERS = join(ROOT, "bench/peers");

/** Without a network ours is measured alone: the reason is said, and nothing fails. */
async function installPeers() {
  await new Progress(1).step("other libraries, in bench/peers", async (note) => {
    const { found, result } = await installLocked(PEERS, ["--ignore-scripts"], note);
    if (!result) return `${found()} packages, as locked`;
    if (result.ok) return `${found()} packages installed`;
    return `SKIPPED: npm ci failed: ${lastLines(result.output, 1)[0] ?? "npm could not be started"}`;
  });
}

async function main() {
  const args = process.argv.slice(2);
  const help = args.includes("--help") || args.includes("-h");
  if (help) console.log(HELP);
  else {
    await setup();
    if (!args.includes("--no-peers")) await installPeers();
    console.log();
  }
  if (help && !existsSync(join(ROOT, "dist"))) return 0;
  const flags = [...relaxedSimdFlags(), "--import", "tsx"];
  return await stream(process.execPath, [...flags, join(ROOT, "bench/main.ts"), ...args], { cwd: ROOT });
}

await runScript(main);
