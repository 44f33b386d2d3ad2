/** A cut of the conformance cases, on three threads that share whatever can be shared. */

import type { InitOptions } from "saccade";
import { createContext } from "./context.ts";
import { type Case, type Context, type Library, ok } from "./harness.ts";

export interface ThreadTools {
  readonly library: Library;
  readonly load: Context["load"];
  readonly wasm: Context["wasm"];
  readonly createWorker: NonNullable<InitOptions["createWorker"]>;
}

/** Runs those of the cases that compute, and says in which one an error came up. */
export async function conformanceOnThreads(
  { library, load, wasm, createWorker }: ThreadTools,
  cases: readonly Case[],
): Promise<void> {
  // However little there is to do, it is shared.
  const options = { threads: 3, createWorker: Object.assign(createWorker, { leastWork: 0 }) };
  const { context } = createContext({ library, load, wasm, long: false, options });
  const cut = cases.filter(({ name, needs }) => /^(contract|operator|cache)/.test(name) && needs === undefined);
  ok(cut.length > 200, `only ${cut.length} cases`);
  for (const { name, run } of cut) {
    try {
      await run(context);
    } catch (cause) {
      throw new Error(`${name}: ${String(cause)}`, { cause });
    }
  }
  (await context.engine("strict")).dispose();
}
