/** The machine's limits in the rounds of a block, and which of them binds a case. */
import type { Work } from "./case.ts";
import type { Peaks, Roof } from "./roof/roof.mjs";
import { median } from "./rounds.ts";

export type Build = "strict" | "fast";
export type LimitName = "strict" | "fused" | "read" | "exp" | "division";

export interface Limit {
  readonly name: LimitName;
  /** Milliseconds that no kernel can go below. */
  readonly ms: number;
  /** What is counted, in 10^9: operations, bytes, exponentials or divisions. */
  readonly giga: number;
}

/** Operations per byte from which on no machine waits for its memory. */
const BUSY = 8;
const SWEEP_MS = 60;

const waits = ({ flops = 0, bytes = 0, passes = 1 }: Work) => bytes > 0 && flops / (bytes * passes) < BUSY;

/**
 * Takes the roof in every round, beside the cases: the clock changes with load and heat, and a share has to set a time
 * against what the machine could do just then. Medians of both are compared.
 */
export class Limits {
  readonly #roof: Roof;
  readonly #sweeps: Peaks[] = [];
  readonly #reads: ReadonlyMap<number, number[]>;

  constructor(roof: Roof, works: readonly Work[]) {
    this.#roof = roof;
    this.#reads = new Map(works.filter(waits).map(({ bytes = 0 }) => [bytes, []]));
  }

  measure(): void {
    this.#sweeps.push(this.#roof.sweep(SWEEP_MS));
    for (const [bytes, rates] of this.#reads) rates.push(this.#roof.readGBps(bytes));
  }

  /** The medians of the rounds. */
  get peaks(): Peaks {
    const medianOf = (rate: (peaks: Peaks) => number) => median(this.#sweeps.map(rate));
    return {
      strictGflops: medianOf((peaks) => peaks.strictGflops),
      fusedGflops: this.#roof.fusedGflops === null ? null : medianOf((peaks) => peaks.fusedGflops ?? 0),
      divGops: medianOf((peaks) => peaks.divGops),
      expGops: medianOf((peaks) => peaks.expGops),
    };
  }

  /** 1e9 bytes per second of reading so many bytes as some work has, when the cache holds what it can. */
  get reads(): ReadonlyMap<number, number> {
    return new Map([...this.#reads].map(([bytes, rates]) => [bytes, median(rates)]));
  }

  /** The limit that takes longest for some work; null for work that none binds. */
  of(work: Work, build: Build): Limit | null {
    const { strictGflops, fusedGflops, expGops, divGops } = this.peaks;
    const fused = build === "fast" ? (fusedGflops ?? 0) : 0;
    // Where the engine fuses badly, plain arithmetic is the fast build's roof too.
    const peak = Math.max(strictGflops, fused);
    const { flops = 0, bytes = 0, passes = 1, exponentials = 0, divisions = 0 } = work;
    const read = waits(work) ? this.reads.get(bytes)! : Number.POSITIVE_INFINITY;
    const limits: [LimitName, count: number, rate: number][] = [
      [fused > strictGflops ? "fused" : "strict", flops, peak],
      ["read", bytes * passes, read],
      // The probe does not fuse: fusing gains a polynomial no more than it gains the peak.
      ["exp", exponentials, expGops * (peak / strictGflops)],
      ["division", divisions, divGops],
    ];
    const [name, count, rate] = limits.reduce((most, next) => (next[1] / next[2] > most[1] / most[2] ? next : most));
    return count === 0 ? null : { name, ms: count / rate / 1e6, giga: count / 1e9 };
  }
}
