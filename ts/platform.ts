/**
 * What differs between the places this package runs in, said once by each entry.
 */

import type { Engine } from "./engine.ts";
import type { CreateWorker } from "./threads/slot.ts";
import type { Build, ModuleName } from "./wasm/instance.ts";
import type { BytesChange } from "./wasm/loader.ts";

/** How an entry finds and reads the wasm that lies beside it. */
export interface Platform {
  /** Where a module of a build lies. */
  wasmUrl(build: Build, module: ModuleName): URL;
  /** Compiles the file at such a URL; `signal` stops a download. */
  load(url: URL, signal: AbortSignal | undefined, change: BytesChange | undefined): Promise<WebAssembly.Module>;
  /** Makes a URL of a string given as `module`; left out, `fetch` resolves it against the page. */
  readonly toUrl?: (reference: string) => URL;
  /** Reads a URL that `fetch` cannot; undefined for all others. */
  readonly read?: (url: URL) => Promise<Uint8Array<ArrayBuffer>> | undefined;
  /** Reads a file synchronously. */
  readonly readSync?: (url: URL) => Uint8Array<ArrayBuffer>;
  /** Makes the default engine for a call by the name of `caller`: lazy initialisation, where files can be read so. */
  readonly openEngine?: (caller: string) => Engine;
  /** How many cores there are, where the engine's own answer is not to be had. */
  readonly cores?: () => number;
  /** Makes workers that run the package's thread file; loaded only where threads are asked for. */
  readonly workers: () => Promise<CreateWorker>;
}

let platform: Platform | undefined;

/** Called by an entry when it is loaded. */
export function setPlatform(entry: Platform): void {
  platform = entry;
}

/** The platform of the entry that was loaded. */
export function currentPlatform(): Platform {
  if (platform === undefined) {
    throw new Error(
      "saccade: the entry module has not run; a bundler has dropped it (see sideEffects in package.json)",
    );
  }
  return platform;
}
