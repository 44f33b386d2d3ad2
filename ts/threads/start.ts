/**
 * An engine's instance with threads: the only file of this folder that the core reaches, and only when it is asked for
 * more than one thread.
 */

import type { ResolvedInit } from "../layout/init.ts";
import { makeInstance } from "../modules.ts";
import { currentPlatform } from "../platform.ts";
import { runSharedBlock } from "../wasm/attention-phases.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import { countThreads, threadsUnavailable } from "./availability.ts";
import { Pool } from "./pool.ts";
import { withSharedMemory } from "./shared-module.ts";

/**
 * Makes an instance over a shared memory and starts its threads; those that do not answer in time are not waited for. Where
 * there can be one thread only, the instance knows why.
 */
export async function startThreads(options: ResolvedInit, signal: AbortSignal | undefined): Promise<WasmInstance> {
  const threads = countThreads(options.threads);
  const reason = threads === 1 ? undefined : threadsUnavailable();
  if (threads === 1 || reason !== undefined) {
    const instance = await makeInstance(options, signal);
    instance.threadsReason = reason;
    return instance;
  }
  const instance = await makeInstance(options, signal, withSharedMemory);
  const createWorker = options.createWorker ?? (await currentPlatform().workers());
  const pool = new Pool(threads, {
    createWorker,
    module: instance.module,
    instance,
    idleTimeoutMs: options.idleTimeoutMs,
  });
  instance.pool = pool;
  instance.runShared = runSharedBlock;
  await pool.start();
  return instance;
}
