/**
 * The script of a worker in Node: answers the engine that made it.
 *
 * @packageDocumentation
 */

import { parentPort } from "node:worker_threads";
import "./node.ts";
import { serve } from "../worker/host.ts";

if (parentPort === null)
  throw new Error("saccade/worker-host: this module runs in a worker, made by createWorkerEngine()");
const port = parentPort;

serve({
  post: (message, transfer) => port.postMessage(message, [...transfer]),
  listen: (receive) => port.on("message", receive),
});
