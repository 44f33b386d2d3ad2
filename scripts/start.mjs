// Sets up, then runs the main job.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { stream } from "./setup/commands.mjs";
import { relaxedSimdFlags } from "./setup/engine.mjs";
import { runScript } from "./setup/entry.mjs";
import { ROOT } from "./setup/project.mjs";
import { setup } from "./setup.mjs";

const JOB = "examples/minilm/main.mjs";
const HELP = `usage: npm start [-- options of the main job]

Sets up this clone (npm run setup -- --help), then runs ${JOB}: attention over the recorded tensors
of a sentence encoder.
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
  return await stream(process.execPath, [...relaxedSimdFlags(), join(ROOT, JOB), ...args]);
}

await runScript(main);
