/**
 * Entry for browsers and bundlers: the wasm is fetched by `init()`. The literal `new URL` is what bundlers look for.
 *
 * @packageDocumentation
 */

import { setPlatform } from "../platform.ts";

setPlatform({
  wasmUrl: (build) =>
    build === "fast"
      ? new URL("./saccade.fast.wasm", import.meta.url)
      : new URL("./saccade.strict.wasm", import.meta.url),
});

export * from "../index.ts";
