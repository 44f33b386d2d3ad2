// Sets up, then formatters, linters and type checks. All of them run, so that one run shows everything.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { crateFlags, MODULES, VARIANTS } from "./build/variants.mjs";
import { stream } from "./setup/commands.mjs";
import { runScript } from "./setup/entry.mjs";
import { provideLinters } from "./setup/linters.mjs";
import { seconds } from "./setup/progress.mjs";
import { ROOT } from "./setup/project.mjs";
import { TARGET } from "./setup/rust.mjs";
import { toolchainEnvironment } from "./setup/toolchain.mjs";
import { setup } from "./setup.mjs";

const HELP = `usage: npm run check

Sets up this clone (the types of the built package are checked too), then runs biome, tsc, cargo fmt and cargo clippy:
clippy natively and for wasm in both variants. npm run format repairs what the formatters complain about.`;

const CLIPPY = ["clippy", "-q", "--locked", "--workspace"];
const DENY = ["--", "-D", "warnings"];

function checks(toolchain) {
  const native = toolchainEnvironment(toolchain);
  const node = (title, script, ...args) => ({ title, command: process.execPath, args: [join(ROOT, script), ...args] });
  const cargo = (title, args, env = native) => ({ title, command: "cargo", args, env });
  return [
    node("biome", "node_modules/@biomejs/biome/bin/biome", "check", "."),
    node("tsc", "node_modules/typescript/bin/tsc", "--noEmit"),
    cargo("cargo fmt", ["fmt", "--all", "--check"]),
    cargo("cargo fmt, tools", ["fmt", "--manifest-path", "tools/Cargo.toml", "--check"]),
    cargo("cargo clippy, native", [...CLIPPY, "--all-targets", ...DENY]),
    ...Object.keys(VARIANTS).flatMap((variant) =>
      Object.keys(MODULES).map((module) => {
        const features = ["-p", "saccade", "--no-default-features", "--features", module];
        const env = { ...native, RUSTFLAGS: crateFlags(variant, module) };
        return cargo(
          `cargo clippy, ${variant} ${module}`,
          [...CLIPPY, ...features, "--lib", "--target", TARGET, ...DENY],
          env,
        );
      }),
    ),
  ];
}

async function main() {
  const { values } = parseArgs({ options: { help: { type: "boolean", short: "h" } } });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const toolchain = await setup();
  await provideLinters(toolchain);
  const wrong = [];
  for (const { title, command, args, env } of checks(toolchain)) {
    const start = performance.now();
    const code = await stream(command, args, { cwd: ROOT, env: env ?? process.env });
    console.log(`${title}: ${code === 0 ? "ok" : "NOT ok"} (${seconds(start)})`);
    if (code !== 0) wrong.push(title);
  }
  console.log(wrong.length > 0 ? `\nnot ok: ${wrong.join("; ")}` : "\nall checks ok");
  return wrong.length > 0 ? 1 : 0;
}

await runScript(main);
