// The package's thread with random delays, for workers of Node.
import { workerData } from "node:worker_threads";
import { delayChunks } from "./delays.mjs";

delayChunks(workerData.seed);
await import("saccade/thread");
