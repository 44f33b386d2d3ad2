// The package's thread with random delays, for workers of a page; the worker's name is its seed.
import { delayChunks } from "./delays.mjs";
import "/dist/thread-browser.js";

delayChunks(Number(globalThis.name));
