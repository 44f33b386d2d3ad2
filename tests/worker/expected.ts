/** What tests of promises wait for and expect. */
import { expect } from "vitest";

/** Comes back after other tasks have had their turn. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** An error of a code, without its prefix (`SHAPE`), and with these words. */
export function refusal(code: string, words?: RegExp): unknown {
  return expect.objectContaining({
    code: `ERR_SACCADE_${code}`,
    ...(words === undefined ? {} : { message: expect.stringMatching(words) }),
  });
}
