/** The machine's limits in the rounds of a run, and which of them binds a case. */
import type { Case } from "./case.ts";
import { bytesOf, flopsOf } from "./cases.ts";
import type { Peaks, Roof } from "./roof/roof.mjs";
import { quantile } from "./rounds.ts";

export type Build = "strict" | "fast";
export type LimitName = "strict" | "fused" | "read" | "exp" | "division";

/** Operations per byte from which on no machine waits for its memory. */
const BUSY = 8;
const SWEEP_MS = 60;

/**
 * Takes the roof in every round, beside the cases: the clock changes with load and heat, and a share has to set a time
 * against what the machine could do just then. Medians of both are compared.
 */
export class Limits {
  readonly #roof: Roof;
  readonly #sweeps: Peaks[] = [];
  readonly #reads: ReadonlyMap<number, number[]>;

  /** `streams`: other numbers of bytes whose reading binds something. */
  constructor(roof: Roof, cases: readonly Case[], streams: readonly number[] = []) {
    this.#roof = roof;
    const waiting = cases.filter((of) => flopsOf(of) / bytesOf(of) < BUSY);
    this.#reads = new Map([...waiting.map(bytesOf), ...streams].map((bytes) => [bytes, []]));
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

  /** Milliseconds of reading so many bytes, which the constructor was told of, when the cache holds what it can. */
  readMs(bytes: number): number {
    return bytes / median(this.#reads.get(bytes)!) / 1e6;
  }

  /** The limit that binds a case, and the milliseconds that no kernel can go below. */
  of(c: Case, build: Build): { readonly name: LimitName; readonly ms: number } {
    const { strictGflops, fusedGflops } = this.peaks;
    // Where the engine fuses badly, plain arithmetic is the fast build's roof too.
    const fused = build === "fast" ? (fusedGflops ?? 0) : 0;
    const arithmetic = flopsOf(c) / Math.max(strictGflops, fused) / 1e6;
    const bytes = bytesOf(c);
    const reading = this.#reads.has(bytes) ? this.readMs(bytes) : 0;
    if (reading > arithmetic) return { name: "read", ms: reading };
    return { name: fused > strictGflops ? "fused" : "strict", ms: arithmetic };
  }
}

function median(values: readonly number[]): number {
  return quantile(
    [...values].sort((a, b) => a - b),
    0.5,
  );
}
