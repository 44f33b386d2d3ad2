/**
 * `saccade/vision` for Node: the main entry says where the wasm lies, and holds the engine that both use.
 *
 * @packageDocumentation
 */

import "./node.ts";

export * from "../vision/index.ts";
