/**
 * `saccade/vision` for browsers and bundlers: the main entry says where the wasm lies, and holds the engine that both use.
 *
 * @packageDocumentation
 */

import "./browser.ts";

export * from "../vision/index.ts";
