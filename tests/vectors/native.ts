/** The native portable build of the crate, asked through its `vectors` example: JSON lines in, JSON lines out. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { recordedToolchain, toolchainEnvironment } from "../../scripts/setup/toolchain.mjs";
import type { OperatorCase } from "./operator-case.ts";
import type { Shape, VectorCase, VectorOptions } from "./schema.ts";

export interface NativeCase {
  id: string;
  shape: Shape;
  paint: VectorCase["paint"];
  options: Omit<VectorOptions, "qOffset"> & { qOffset?: number | number[] };
}

export interface NativeFunction {
  id: string;
  function: "exp2" | "tanh";
  bits: string[];
}

export type NativeAnswer<Q> = { id: string } & (Q extends NativeFunction
  ? { bits: string[] }
  : Q extends OperatorCase
    ? { sha256: string[] }
    : { out_sha256: string; lse_sha256: string; weights_sha256: string });

const TIME_LIMIT = 240_000;

/** One answer per question, in order. Builds the example first where that is needed. */
export async function askNative<Q extends NativeCase | NativeFunction | OperatorCase>(
  questions: Q[],
): Promise<NativeAnswer<Q>[]> {
  const args = ["run", "--release", "--quiet", "--locked", "-p", "saccade", "--example", "vectors"];
  const child = spawn("cargo", args, {
    cwd: fileURLToPath(new URL("../../", import.meta.url)),
    env: toolchainEnvironment(recordedToolchain()),
    stdio: ["pipe", "pipe", "pipe"],
    timeout: TIME_LIMIT,
    killSignal: "SIGKILL",
  });
  let output = "";
  let complaint = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaint += text;
  });
  // A program that ends early closes its input; its exit code says so.
  child.stdin.on("error", () => {});
  child.stdin.end(questions.map((question) => `${JSON.stringify(question)}\n`).join(""));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  if (code !== 0) throw new Error(`the vectors example ended with code ${code}\n${complaint.slice(-2000)}`);
  const answers = output
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as NativeAnswer<Q>);
  if (answers.map(({ id }) => id).join() !== questions.map(({ id }) => id).join()) {
    throw new Error(`${answers.length} answers to ${questions.length} questions, or in another order`);
  }
  return answers;
}
