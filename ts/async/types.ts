/**
 * The types of asynchronous twins, derived from those of the direct functions.
 */

import type { AsyncOptions } from "../control.ts";

/** Makes the twin of a direct function; the options stay optional, or not. */
export interface Twin {
  <Rest extends readonly unknown[], Options, Result>(
    direct: (...args: [...Rest, options?: Options]) => Result,
  ): (...args: [...Rest, options?: Options & AsyncOptions]) => Promise<Result>;
  <Rest extends readonly unknown[], Options, Result>(
    direct: (...args: [...Rest, options: Options]) => Result,
  ): (...args: [...Rest, options: Options & AsyncOptions]) => Promise<Result>;
}
