/** The machine's limits in the rounds of a block, and which of them binds a case. */
import type { Work } from "./case.ts";
import type { Pair } from "./roof/pair.mjs";
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
  readonly #pair: Pair | null;
  readonly #pairSweeps: Omit<Peaks, "fusedGflops">[] = [];
  readonly #pairReads: ReadonlyMap<number, number[]>;

  /** @param pair - two threads at once, and the works of them that are shared */
  constructor(roof: Roof, works: readonly Work[], pair: Pair | null = null, shared: readonly Work[] = []) {
    const byBytes = (some: readonly Work[]) => new Map(some.filter(waits).map(({ bytes = 0 }) => [bytes, []]));
    this.#roof = roof;
    this.#reads = byBytes(works);
    this.#pair = shared.length > 0 ? pair : null;
    this.#pairReads = byBytes(shared);
  }

  measure(): void {
    if (this.#pair !== null) {
      // First, just after our threads were timed: what a second core adds may be another figure a second later.
      this.#pairSweeps.push(this.#pair.sweep());
      for (const [bytes, rates] of this.#pairReads) rates.push(this.#pair.readGBps(bytes));
    }
    this.#sweeps.push(this.#roof.sweep(SWEEP_MS));
    for (const [bytes, rates] of this.#reads) rates.push(this.#roof.readGBps(bytes));
  }

  /** How many times as much two threads compute as one, in each round; nothing where that was not measured. */
  get scaling(): number[] {
    return this.#pairSweeps.map(({ strictGflops }, round) => strictGflops / this.#sweeps[round]!.strictGflops);
  }

  /** The limit of two threads for some work of the strict build, in each round; nothing where that was not measured. */
  ofPair(work: Work): (Limit | null)[] {
    return this.#pairSweeps.map((peaks, round) => {
      const read = waits(work) ? this.#pairReads.get(work.bytes ?? 0)![round]! : Number.POSITIVE_INFINITY;
      return limitOf(work, { name: "strict", ...peaks, peak: peaks.strictGflops, read });
    });
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
    const read = waits(work) ? this.reads.get(work.bytes ?? 0)! : Number.POSITIVE_INFINITY;
    // The probe does not fuse: fusing gains a polynomial no more than it gains the peak.
    const exp = expGops * (peak / strictGflops);
    return limitOf(work, { name: fused > strictGflops ? "fused" : "strict", peak, read, expGops: exp, divGops });
  }
}

interface Rates {
  /** Of the peak. */
  readonly name: LimitName;
  readonly peak: number;
  readonly read: number;
  readonly expGops: number;
  readonly divGops: number;
}

function limitOf(work: Work, { name, peak, read, expGops, divGops }: Rates): Limit | null {
  const { flops = 0, bytes = 0, passes = 1, exponentials = 0, divisions = 0 } = work;
  const limits: [LimitName, count: number, rate: number][] = [
    [name, flops, peak],
    ["read", bytes * passes, read],
    ["exp", exponentials, expGops],
    ["division", divisions, divGops],
  ];
  const [binds, count, rate] = limits.reduce((most, next) => (next[1] / next[2] > most[1] / most[2] ? next : most));
  return count === 0 ? null : { name: binds, ms: count / rate / 1e6, giga: count / 1e9 };
}
