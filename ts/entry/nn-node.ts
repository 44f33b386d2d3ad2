/**
 * `saccade/nn` in Node: the same entry set up as the main one's, so that either may be imported alone.
 *
 * @packageDocumentation
 */

import "./node.ts";

export * from "../nn/index.ts";
