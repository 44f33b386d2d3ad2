// @ts-check
/** What a thread does in its turn of the pair: one loop of the probe, or reading, for as long as it is told. */
import { probeOf, rangeOf, ratesOf } from "./roof.mjs";

/** Words of what both threads share. */
export const TURN = 0;
export const STARTED = 1;
export const STOP = 2;
export const DONE = 3;
export const WHAT = 4;
export const BYTES = 5;
/** Where the other thread's rate lies, in bytes. */
export const RATE_AT = 56;

/** Operations between two looks at the other thread. */
const PIECE = 1e6;
const PIECE_BYTES = 1 << 20;

/**
 * @typedef {object} Turns
 * @property {import("./roof.mjs").Probe} reader
 * @property {(import("./roof.mjs").Rate & { readonly name: string })[]} rates
 * @property {{ start: number, length: number } | undefined} range that was filled last
 */

/** @param {WebAssembly.Module} module @returns {Promise<Turns>} */
export async function newTurns(module) {
  const rates = Object.entries(ratesOf(await probeOf(module))).flatMap(([name, each]) =>
    each.map((rate) => ({ ...rate, name, rounds: Math.max(1, Math.round(PIECE / rate.perRound)) })),
  );
  return { reader: await probeOf(module), rates, range: undefined };
}

/**
 * Runs until it is told to stop; operations, or bytes, a second.
 *
 * @param {Turns} turns
 * @param {number} what the place of a rate; -1: reading
 * @param {number} byteLength
 * @param {() => boolean} goesOn
 */
export function runTurn(turns, what, byteLength, goesOn) {
  const rate = turns.rates[what];
  const range = rate === undefined ? place(turns, byteLength) : undefined;
  let count = 0;
  let at = 0;
  const began = performance.now();
  do {
    if (rate !== undefined) {
      rate.run(rate.rounds);
      count += rate.rounds * rate.perRound;
    } else if (range !== undefined) {
      const piece = Math.min(PIECE_BYTES, range.length - at);
      turns.reader.read_4(range.start + at, piece);
      count += piece;
      at = at + piece === range.length ? 0 : at + piece;
    }
  } while (goesOn());
  return (1000 * count) / (performance.now() - began);
}

/** @param {Turns} turns @param {number} byteLength */
export function place(turns, byteLength) {
  if (turns.range === undefined || turns.range.length < byteLength || turns.range.length >= byteLength + 512) {
    turns.range = rangeOf(turns.reader, byteLength);
  }
  return turns.range;
}
