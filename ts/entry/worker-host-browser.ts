/**
 * The script of a browser's worker: answers the engine that made it.
 *
 * @packageDocumentation
 */

import "./browser.ts";
import { serve } from "../worker/host.ts";

/** The part of a worker's global scope that is needed; the page's own `postMessage` is another. */
const scope = globalThis as unknown as {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  addEventListener(name: "message", listener: (event: MessageEvent) => void): void;
};

serve({
  post: (message, transfer) => scope.postMessage(message, [...transfer]),
  listen: (receive) => scope.addEventListener("message", ({ data }) => receive(data)),
});
