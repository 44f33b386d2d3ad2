// Sets up, then runs every test suite and adds up what they report.
import { parseArgs } from "node:util";
import { runScript } from "./setup/entry.mjs";
import { SetupError } from "./setup/failure.mjs";
import { seconds } from "./setup/progress.mjs";
import { setup } from "./setup.mjs";
import { SUITES } from "./test/suites.mjs";

const HELP = `usage: npm test [-- --long] [-- --only name]

Sets up this clone (npm run setup -- --help), then runs the suites ${Object.keys(SUITES).join(", ")}.
The last line is the sum: N passed, N failed, N skipped.

  --long        also the tests that take minutes (SACCADE_LONG=1)
  --only name   only this suite; may be given several times`;

async function main() {
  const { values } = parseArgs({
    options: {
      help: { type: "boolean", short: "h" },
      long: { type: "boolean" },
      only: { type: "string", multiple: true },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const names = values.only ?? Object.keys(SUITES);
  for (const name of names)
    if (!SUITES[name]) throw new SetupError(`There is no suite ${name}.`, { commands: ["npm test"] });
  const toolchain = await setup();
  const long = values.long ?? process.env.SACCADE_LONG === "1";
  const env = { ...process.env, ...(long ? { SACCADE_LONG: "1" } : {}) };
  const rows = [];
  for (const name of names) {
    const { title, run } = SUITES[name];
    console.log(`\n== ${title}`);
    const start = performance.now();
    const count = await run({ toolchain, env, long });
    rows.push({ title, count, time: seconds(start) });
  }
  console.log("\n== summary");
  for (const { title, count, time } of rows) {
    console.log(`${title}: ${words(count)} (${time})${count.problem ? `; ${count.problem}` : ""}`);
  }
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const { count } of rows) for (const key of Object.keys(total)) total[key] += count[key];
  console.log(words(total));
  return total.failed > 0 ? 1 : 0;
}

function words({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

await runScript(main);
