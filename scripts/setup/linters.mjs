// rustfmt and clippy: only the checks need them, so only the checks ask for them.
import { capture, which } from "./commands.mjs";
import { SetupError } from "./failure.mjs";
import { ROOT } from "./project.mjs";
import { toolchainEnvironment } from "./toolchain.mjs";

/** @param {import("./toolchain.mjs").Toolchain} toolchain */
export async function provideLinters(toolchain) {
  const options = { cwd: ROOT, env: toolchainEnvironment(toolchain) };
  if (await areThere(options)) return;
  const add = ["component", "add", "clippy", "rustfmt"];
  if (toolchain.route === "rustup") {
    console.log("rustup component add clippy rustfmt");
    await capture("rustup", add, { ...options, timeoutMs: 120_000 });
    if (await areThere(options)) return;
  }
  const debian = which("apt-get") ? ["sudo apt-get install rust-web-clippy rustfmt-web"] : [];
  throw new SetupError("cargo clippy or cargo fmt is missing.", {
    commands: toolchain.route === "rustup" ? [`rustup ${add.join(" ")}`] : debian,
  });
}

async function areThere(options) {
  for (const name of ["clippy", "fmt"]) {
    if (!(await capture("cargo", [name, "--version"], options)).ok) return false;
  }
  return true;
}
