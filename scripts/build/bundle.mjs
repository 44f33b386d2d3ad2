// The TypeScript library as ES modules with their declarations, and the wasm modules beside them.
import { join } from "node:path";
import { run } from "../setup/commands.mjs";
import { ROOT } from "../setup/project.mjs";
import { unlessDone } from "./stamp.mjs";
import { MODULES, VARIANTS } from "./variants.mjs";

const ROLLUP = "node_modules/rollup/dist/bin/rollup";
const CONFIGURATION = [
  "rollup.config.mjs",
  "tsconfig.json",
  "tsconfig.build.json",
  "package.json",
  "package-lock.json",
];

/** Builds dist/. @returns {Promise<string>} what was done, in words */
export async function buildBundle({ note, force = false }) {
  const inputs = ["ts", ...Object.keys(VARIANTS).flatMap(modulesOf), ...CONFIGURATION];
  const built = await unlessDone("bundle", { inputs, outputs: ["dist"], force }, async () => {
    note("rollup");
    await run(process.execPath, [join(ROOT, ROLLUP), "-c", "--silent"], {
      cwd: ROOT,
      env: { ...process.env, NO_COLOR: "1" },
      failure: "rollup could not build dist/.",
      commands: ["npx tsc --noEmit", "npm run build"],
    });
  });
  return built ? "dist/" : "dist/, unchanged";
}

function modulesOf(variant) {
  return Object.values(MODULES).flatMap(({ folder }) =>
    ["saccade_bg.wasm", "saccade.d.ts"].map((file) => `${folder(variant)}/${file}`),
  );
}
