/**
 * What a thread runs in a worker of the web: the file to name in `createWorker`.
 *
 * @packageDocumentation
 */

import type { StartMessage } from "../threads/control.ts";
import { live } from "../threads/thread.ts";

interface WorkerScope {
  postMessage(message: unknown): void;
  addEventListener(event: "message", listener: (event: { readonly data: StartMessage }) => void): void;
  close(): void;
}

const scope = globalThis as unknown as WorkerScope;

scope.addEventListener("message", ({ data }) => {
  if (data?.saccade !== "start") return;
  live(data, (message) => scope.postMessage(message));
  scope.close();
});
