/** Workers of Node. */

import { Worker } from "node:worker_threads";
import type { CreateWorker } from "../slot.ts";

export const createWorker: CreateWorker = () =>
  // What the program was started with (loaders, inspectors) is of no use to a thread.
  new Worker(new URL("./thread-node.js", import.meta.url), { execArgv: [], name: "saccade" });
