/**
 * Entry for Node: the wasm is a file beside this script and is read synchronously, so the first call that needs the
 * engine can make it.
 *
 * @packageDocumentation
 */

import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { pathToFileURL } from "node:url";
import { openEngine } from "../init-sync.ts";
import { type Platform, setPlatform } from "../platform.ts";
import { loadUrl } from "../wasm/loader.ts";

const urls = {
  strict: {
    attention: () => new URL("./saccade.strict.wasm", import.meta.url),
    operators: () => new URL("./saccade.strict.operators.wasm", import.meta.url),
  },
  fast: {
    attention: () => new URL("./saccade.fast.wasm", import.meta.url),
    operators: () => new URL("./saccade.fast.operators.wasm", import.meta.url),
  },
};

const read: Platform["read"] = (url) =>
  url.protocol === "file:" ? readFile(url).then((bytes) => new Uint8Array(bytes)) : undefined;

setPlatform({
  wasmUrl: (build, module) => urls[build][module](),
  load: (url, signal, change) => loadUrl(url, { read }, signal, change),
  // One letter before the colon is a drive, not a scheme.
  toUrl: (reference) => (/^[a-z][a-z0-9+.-]+:/i.test(reference) ? new URL(reference) : pathToFileURL(reference)),
  read,
  openEngine,
  readSync: (url) => new Uint8Array(readFileSync(url)),
  cores: availableParallelism,
  workers: async () => (await import("../threads/create/node.ts")).createWorker,
});

export * from "../index.ts";
