/** A row of the table, of the record and of the plot: one case by one library. */
import type { BenchCase } from "./case.ts";
import type { Limit, Limits } from "./limits.ts";
import type { Peaks } from "./roof/roof.mjs";
import { median, type Timing } from "./rounds.ts";
import { type Attempt, isSubject } from "./subjects.ts";

export interface Row {
  readonly case: string;
  readonly what: string;
  /** "strict" and "fast" are ours. */
  readonly by: string;
  readonly version: string;
  readonly how: string;
  /** Shares of ours on more than one are of what as many threads give at once, round by round. */
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
  const timingOf = (name: string, by: string) =>
    timed[attempts.findIndex((other) => other.of.name === name && other.by === by && other.threads === 1)];
  return attempts.map((attempt, i): Row => {
    const { of, build, by, version, how, threads, margin, note } = attempt;
    const timing = timed[i] ?? null;
    const shared = build && timing && threads > 1 ? sharedBy(timing, timingOf(of.name, by), of, limits) : undefined;
    const limit = build && timing && threads === 1 ? limits.of(of.work, build) : (shared?.limit ?? null);
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
      share: shared ? shared.share : limit && timing ? limit.ms / timing.median : null,
      plain: of.against?.name ?? "",
      part: over(timing?.median, medianOf(of.against?.name, by)),
      timesStrict: over(timing?.median, medianOf(of.name, "strict", build ? 1 : threads)),
      timesFast: over(timing?.median, medianOf(of.name, "fast")),
      error: margin,
      note: [note, shared?.note, build && timing ? tangentNote(of, timing, peaks) : ""].filter(Boolean).join("; "),
    };
  });
}

/** So many times as much as one must two threads compute in a round for two cores to have been there. */
const TWO_CORES = 1.85;

/** Two threads against what two threads give at once, and, in rounds in which both cores were there, against one. */
function sharedBy(timing: Timing, one: Timing | null | undefined, { work }: BenchCase, limits: Limits) {
  const { scaling } = limits;
  const all = limits.ofPair(work).flatMap((limit, round) => {
    const ms = timing.rounds[round];
    return limit === null || ms == null ? [] : [{ limit, ms, alone: one?.rounds[round], gains: scaling[round]! }];
  });
  if (all.length === 0) return undefined;
  const shares = all.map(({ limit, ms }) => limit.ms / ms).toSorted((a, b) => a - b);
  const limit: Limit = { ...all[0]!.limit, ms: median(all.map((each) => each.limit.ms)) };
  const gains = all.map((each) => each.gains);
  const good = all.filter((each) => each.gains >= TWO_CORES && each.alone != null);
  const times = (values: number[]) => median(values).toFixed(2);
  const note = [
    `two threads compute ${times(gains)} times as much as one here`,
    ...(good.length === 0
      ? [`in no round ${TWO_CORES} times as much`]
      : [
          `in the ${good.length} of ${all.length} rounds with ${TWO_CORES} times or more, ${times(good.map((each) => each.gains))} times; ` +
            `this case then ran ${times(good.map(({ alone, ms }) => alone! / ms))} times as fast as on one thread`,
        ]),
  ].join(", ");
  return { limit, share: median(shares), note };
}

/** Additive attention against the time of one division, and of one exponential and one division, for every tanh. */
function tangentNote({ tangents }: BenchCase, { median }: Timing, { divGops, expGops }: Peaks): string {
  if (tangents === undefined) return "";
  const share = (perTangent: number) => ((tangents * perTangent) / 1e6 / median).toFixed(2);
  return `${share(1 / divGops)} of a division a tanh, ${share(1 / divGops + 1 / expGops)} of an exp and a division`;
}

/** Rows of ours on one thread that are above their limit: then the probe is wrong. */
export const impossible = (rows: readonly Row[]): Row[] =>
  rows.filter(({ share, threads }) => threads === 1 && share !== null && share > 1);
