/**
 * The straight way to the package's own wasm in a page: a server that says that it sends wasm. All else that can come, and
 * what goes wrong, is the business of `loader.ts`, which is loaded only then.
 */

import { SaccadeError } from "../errors.ts";
import type { BytesChange } from "./loader.ts";

/** Compiles the file at a URL; `signal` stops the download. */
export async function fetchModule(
  url: URL,
  signal: AbortSignal | undefined,
  change: BytesChange | undefined,
): Promise<WebAssembly.Module> {
  let response: Response | undefined;
  let cause: unknown;
  try {
    response = await fetch(url, { signal: signal ?? null });
    const isWasm = response.headers.get("content-type")?.startsWith("application/wasm");
    if (response.ok && isWasm && change === undefined) return await WebAssembly.compileStreaming(response);
  } catch (error) {
    cause = error;
  }
  const { compileAnswer } = await import("./loader.ts").catch(() => {
    // Offline, say: then the reason must do.
    throw new SaccadeError("ERR_SACCADE_WASM_LOAD", `the wasm could not be loaded from ${url}: ${cause}`, {
      url: url.href,
      cause,
    });
  });
  return compileAnswer(url.href, response, cause, signal, change);
}
