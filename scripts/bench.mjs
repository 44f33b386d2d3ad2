// Sets up, then measures.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { stream } from "./setup/commands.mjs";
import { relaxedSimdFlags } from "./setup/engine.mjs";
import { runScript } from "./setup/entry.mjs";
import { ROOT } from "./setup/project.mjs";
import { setup } from "./setup.mjs";

const HELP = `usage: npm run bench [-- options of bench/main.ts]

Sets up this clone (npm run setup -- --help), then measures.
`;

async function main() {
  const args = process.argv.slice(2);
  const help = args.includes("--help") || args.includes("-h");
  if (help) console.log(HELP);
  else {
    await setup();
    console.log();
  }
  if (help && !existsSync(join(ROOT, "dist"))) return 0;
  const flags = [...relaxedSimdFlags(), "--import", "tsx"];
  return await stream(process.execPath, [...flags, join(ROOT, "bench/main.ts"), ...args], { cwd: ROOT });
}

await runScript(main);
