/** Workers of the web. The literal below is what bundlers look for. */

import type { CreateWorker } from "../slot.ts";

export const createWorker: CreateWorker = () =>
  new Worker(new URL("./thread-browser.js", import.meta.url), { type: "module", name: "saccade" });
