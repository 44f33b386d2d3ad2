/**
 * What a thread runs in a worker of Node: the file to name in `createWorker`.
 *
 * @packageDocumentation
 */

import { parentPort } from "node:worker_threads";
import type { StartMessage } from "../threads/control.ts";
import { live } from "../threads/thread.ts";

parentPort?.on("message", (data: StartMessage) => {
  if (data?.saccade !== "start") return;
  live(data, (message) => parentPort?.postMessage(message));
  // Ends the worker: nothing else keeps it. Deno has no `close` here.
  parentPort?.unref();
});
