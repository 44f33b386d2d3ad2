/**
 * An engine's instance with threads: the only file of this folder that the core reaches, and only when it is asked for
 * more than one thread.
 */

import type { ResolvedInit } from "../layout/init.ts";
import { moduleFor, operatorsSource } from "../modules.ts";
import { currentPlatform } from "../platform.ts";
import { instantiate, type WasmInstance } from "../wasm/instance.ts";
import { areOperatorsWanted } from "../wasm/wanted.ts";
import { Pool } from "./pool.ts";
import { withSharedMemory } from "./shared-module.ts";

/** Makes an instance over a shared memory and starts its threads; those that do not answer in time are not waited for. */
export async function startThreads(
  options: ResolvedInit,
  threads: number,
  signal: AbortSignal | undefined,
): Promise<WasmInstance> {
  // Threads are given their modules when they start: what the program has a use for is loaded before.
  const operated = options.operators !== undefined || (options.module === undefined && areOperatorsWanted());
  const [module, operators] = await Promise.all([
    moduleFor("attention", options, signal, withSharedMemory),
    operated ? moduleFor("operators", options, signal, withSharedMemory) : undefined,
  ]);
  const source = operatorsSource(options, withSharedMemory);
  const instance = await instantiate(options.build, module, options.memory, source, true);
  if (operators !== undefined) await instance.addOperators(operators);
  const createWorker = options.createWorker ?? (await currentPlatform().workers());
  const pool = new Pool(threads, { createWorker, module, instance, idleTimeoutMs: options.idleTimeoutMs });
  instance.pool = pool;
  await pool.start();
  return instance;
}
