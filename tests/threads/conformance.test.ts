/** The list of cases that every engine runs, on three threads that share whatever can be shared. */
import { Worker } from "node:worker_threads";
import { describeConformance } from "../conformance/node.ts";

const thread = new URL("../../dist/thread-node.js", import.meta.url);
const createWorker = Object.assign(() => new Worker(thread, { execArgv: [] }), { leastWork: 0 });

describeConformance("conformance on three threads", { threads: 3, createWorker });
