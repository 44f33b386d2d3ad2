/**
 * Entry for browsers and bundlers: the wasm is fetched by `init()`. The literal `new URL` is what bundlers look for.
 *
 * @packageDocumentation
 */

import { setPlatform } from "../platform.ts";
import { fetchModule } from "../wasm/fetch-module.ts";

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

setPlatform({
  wasmUrl: (build, module) => urls[build][module](),
  load: fetchModule,
  workers: async () => (await import("../threads/create/browser.ts")).createWorker,
});

export * from "../index.ts";
