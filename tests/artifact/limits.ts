/** What the package may weigh, in bytes after gzip. Raising a limit is a decision: say why where it is raised. */
export const gzipLimits = {
  /** A wasm file: of either build that of attention with its cache, and that of the operators beside them. */
  wasm: 60 * 1024,
  /**
   * The core: the bundle of `import { init, attention, Tensor } from "saccade"` for browsers, its static closure (what
   * `init()` without options loads), minified. What an option needs and the default does not (threads, a module that is given),
   * and what says why a wasm file was refused, is loaded on demand and printed beside it. 12 KiB remain the aim; most of what is
   * left checks arguments and says what was expected.
   */
  core: 18.5 * 1024,
  /**
   * An entry (`node.js` or `browser.js`) with all that it imports, minified: with masks by rule, plans, partial results
   * and the translators of other systems' calls, which a page that does not use them does not load; and beside attention the
   * textbooks' operators and the cache, each of which checks its own arguments. Raised from 70 KiB
   * for the asynchronous twins: the record of a call, its queue and its slices.
   */
  entry: 73 * 1024,
};

/** Bytes of data segments: constants of the kernels and the few bytes that wasm-bindgen brings along. */
export const dataLimit = 12 * 1024;
