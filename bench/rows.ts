/** A row of the table, of the record and of the plot: one case by one library. */
import type { BenchCase } from "./case.ts";
import type { Limits } from "./limits.ts";
import type { Peaks } from "./roof/roof.mjs";
import type { Timing } from "./rounds.ts";
import { type Attempt, isSubject } from "./subjects.ts";

export interface Row {
  readonly case: string;
  readonly what: string;
  /** "strict" and "fast" are ours. */
  readonly by: string;
  readonly version: string;
  readonly how: string;
  /** Rows of ours on more than one have no share: the limits are those of one thread. */
  readonly threads: number;
  readonly status: "ok" | "wrong" | "failed";
  /** Milliseconds a call; null where there is no time. */
  readonly median: number | null;
  readonly p10: number | null;
  readonly p90: number | null;
  readonly calls: number;
  /** The part of the samples in which other work had the core; null where nobody can tell, as on several threads. */
  readonly disturbed: number | null;
  /** The limit that binds: "strict" and "fused" count GFLOP/s, "read" GB/s, "exp" and "division" 10^9 of these a second. */
  readonly limit: string;
  readonly rate: number | null;
  /** The part of that limit that is reached; for ours alone. */
  readonly share: number | null;
  /** The case without what this one adds, and the time as a part of its time. */
  readonly plain: string;
  readonly part: number | null;
  /** The time over that of our strict build, on one thread for ours and on as many for others: above 1, that one is faster. */
  readonly timesStrict: number | null;
  readonly timesFast: number | null;
  readonly error: number | null;
  readonly note: string;
}

/** Rows of a block, whose cases were timed in the same rounds. `timings` are those of the attempts that could be timed. */
export function rowsOf(attempts: readonly Attempt[], timings: readonly Timing[], limits: Limits): Row[] {
  const subjects = attempts.filter(isSubject);
  const timed = attempts.map((attempt) => (isSubject(attempt) ? timings[subjects.indexOf(attempt)]! : null));
  const medianOf = (name: string | undefined, by: string, threads = 1) => {
    const found = attempts.findIndex((other) => other.of.name === name && other.by === by && other.threads === threads);
    return timed[found]?.median ?? null;
  };
  const over = (a: number | null | undefined, b: number | null) => (a == null || b === null ? null : a / b);
  const { peaks } = limits;
  return attempts.map((attempt, i): Row => {
    const { of, build, by, version, how, threads, margin, note } = attempt;
    const timing = timed[i] ?? null;
    const limit = build && timing && threads === 1 ? limits.of(of.work, build) : null;
    return {
      case: of.name,
      what: of.words,
      by,
      version,
      how,
      threads,
      status: isSubject(attempt) ? "ok" : attempt.status,
      median: timing?.median ?? null,
      p10: timing?.p10 ?? null,
      p90: timing?.p90 ?? null,
      calls: timing?.calls ?? 0,
      disturbed: threads === 1 ? (timing?.disturbed ?? null) : null,
      limit: limit?.name ?? "",
      rate: limit && timing ? (1000 * limit.giga) / timing.median : null,
      share: limit && timing ? limit.ms / timing.median : null,
      plain: of.against?.name ?? "",
      part: over(timing?.median, medianOf(of.against?.name, by)),
      timesStrict: over(timing?.median, medianOf(of.name, "strict", build ? 1 : threads)),
      timesFast: over(timing?.median, medianOf(of.name, "fast")),
      error: margin,
      note: [note, build && timing ? tangentNote(of, timing, peaks) : ""].filter(Boolean).join("; "),
    };
  });
}

/** Additive attention against the time of one division, and of one exponential and one division, for every tanh. */
function tangentNote({ tangents }: BenchCase, { median }: Timing, { divGops, expGops }: Peaks): string {
  if (tangents === undefined) return "";
  const share = (perTangent: number) => ((tangents * perTangent) / 1e6 / median).toFixed(2);
  return `${share(1 / divGops)} of a division a tanh, ${share(1 / divGops + 1 / expGops)} of an exp and a division`;
}

/** Rows of ours that are above their limit: then the probe is wrong. */
export const impossible = (rows: readonly Row[]): Row[] => rows.filter(({ share }) => share !== null && share > 1);
