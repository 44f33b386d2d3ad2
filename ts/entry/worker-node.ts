/**
 * `saccade/worker` in Node.
 *
 * @packageDocumentation
 */

import { Worker } from "node:worker_threads";
import { setWorkerFactory } from "../worker/platform.ts";

// Without the program's own flags, of which some (--input-type) are refused for a file; those of V8 hold for all threads anyway.
setWorkerFactory(() => new Worker(new URL("./worker-host-node.js", import.meta.url), { execArgv: [] }));

export * from "../worker/index.ts";
