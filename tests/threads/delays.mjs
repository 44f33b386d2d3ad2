// Random delays in a thread: every chunk of a call may wait before it is computed. Wraps what the package's thread links,
// and knows no platform.

/** A pause of up to two milliseconds, one time in four: Marsaglia's xorshift, so that every run has the same. @param {number} seed */
export function pauses(seed) {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  let draws = seed;
  return () => {
    draws ^= draws << 13;
    draws ^= draws >>> 17;
    draws ^= draws << 5;
    if ((draws & 3) === 0) Atomics.wait(pause, 0, 0, ((draws >>> 8) % 2048) / 1024);
  };
}

/** Delays chunks from now on. @param {number} seed, not 0 */
export function delayChunks(seed) {
  const dawdle = pauses(seed);
  const Real = WebAssembly.Instance;
  WebAssembly.Instance = function Instance(module, imports) {
    const { exports } = new Real(module, imports);
    const run = (...args) => {
      dawdle();
      return exports.run(...args);
    };
    return { exports: { ...exports, run } };
  };
}
