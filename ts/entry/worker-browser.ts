/**
 * `saccade/worker` in browsers and bundlers. The literal `new Worker(new URL(…))` is what bundlers look for.
 *
 * @packageDocumentation
 */

import { setWorkerFactory } from "../worker/platform.ts";

setWorkerFactory(() => new Worker(new URL("./worker-host-browser.js", import.meta.url), { type: "module" }));

export * from "../worker/index.ts";
