/**
 * `saccade/nn` in browsers and bundlers: the same entry set up as the main one's, so that either may be imported alone.
 *
 * @packageDocumentation
 */

import "./browser.ts";

export * from "../nn/index.ts";
