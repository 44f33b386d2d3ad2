/**
 * The operators beside attention: what is measured, set against the machine's limits and against other libraries in the same rounds.
 */
import Table from "cli-table3";
import type { Engine } from "saccade";
import type { Build, LimitName, Limits } from "./limits.ts";
import { ADDITIVE } from "./operators/additive.ts";
import type { OperatorCase, Work } from "./operators/case.ts";
import { KERNEL_REGRESSION } from "./operators/kernel-regression.ts";
import { MATRIX } from "./operators/matrix.ts";
import { POOLING } from "./operators/pooling.ts";
import { POSITIONS } from "./operators/positions.ts";
import { RELATIVE } from "./operators/relative.ts";
import { SOFTMAX } from "./operators/softmax.ts";
import { VISION } from "./operators/vision.ts";
import type { Timing } from "./rounds.ts";

export const OPERATOR_CASES: readonly OperatorCase[] = [
  ...ADDITIVE,
  ...MATRIX,
  ...SOFTMAX,
  ...POOLING,
  ...KERNEL_REGRESSION,
  ...POSITIONS,
  ...RELATIVE,
  ...VISION,
];

/** Stands for all of them on the command line. */
export const GROUP = "operators";

export const operatorsLike = (text: string): readonly OperatorCase[] =>
  OPERATOR_CASES.filter(({ name }) => text === GROUP || name.includes(text));

/** What is timed: one case, by one build of ours or by a peer. */
export interface OperatorSubject {
  readonly of: OperatorCase;
  readonly by: Build | string;
  readonly call: () => void;
  /** The largest error of sampled rows as a share of what float32 rounding explains. */
  readonly margin: () => number;
}

/** The subjects of some cases: every build of ours, and the peers that are installed. */
export async function operatorSubjects(
  cases: readonly OperatorCase[],
  builds: readonly (readonly [Build, Engine])[],
): Promise<OperatorSubject[]> {
  const subjects: OperatorSubject[] = [];
  for (const of of cases) {
    const prepared = of.prepare();
    const checked = (by: string, call: () => void, result: () => ArrayLike<number>): void => {
      subjects.push({
        of,
        by,
        call,
        margin() {
          call();
          return prepared.margin(result());
        },
      });
    };
    for (const [build, engine] of builds) {
      const { call, result } = prepared.on(engine);
      checked(build, call, result);
    }
    for (const peer of await prepared.peers()) checked(peer.name, peer.call, peer.result);
  }
  return subjects;
}

/** The limit of the machine that takes longest for some work, and the milliseconds that no kernel can go below. */
export function limitOf(work: Work, limits: Limits, by: string): { readonly name: LimitName; readonly ms: number } {
  const { strictGflops, fusedGflops, expGops, divGops } = limits.peaks;
  const fused = by === "fast" ? (fusedGflops ?? 0) : 0;
  const peak = Math.max(strictGflops, fused);
  const { flops = 0, bytes = 0, passes = 1, exponentials = 0, divisions = 0 } = work;
  const times: [LimitName, number][] = [
    [fused > strictGflops ? "fused" : "strict", flops / peak / 1e6],
    ["read", bytes === 0 ? 0 : passes * limits.readMs(bytes)],
    // The probe does not fuse: fusing gains a polynomial no more than it gains the peak.
    ["exp", exponentials / (expGops * (peak / strictGflops)) / 1e6],
    ["division", divisions / divGops / 1e6],
  ];
  const [name, ms] = times.reduce((longest, time) => (time[1] > longest[1] ? time : longest));
  return { name, ms };
}

export interface OperatorRow {
  readonly case: string;
  readonly what: string;
  readonly by: string;
  readonly median_ms: string;
  readonly p10_ms: string;
  readonly p90_ms: string;
  readonly disturbed_share: string;
  /** The limit that binds, and the share of it that is reached; for ours alone. */
  readonly limit: string;
  readonly share_of_limit: string;
  /** Of the time that one division for every tanh takes; below: of one exponential and one division. For additive attention. */
  readonly share_of_division_roof: string;
  readonly share_of_exp_and_division_roof: string;
  /** Its time over that of our strict build. */
  readonly times_strict: string;
  readonly error_share_of_bound: string;
}

/** Rows of the table and of the record, and the names of those above their limit: then the probe is wrong. */
export function operatorRows(
  subjects: readonly OperatorSubject[],
  timings: readonly Timing[],
  margins: readonly number[],
  limits: Limits,
): { readonly rows: OperatorRow[]; readonly impossible: string[] } {
  const { peaks } = limits;
  const impossible: string[] = [];
  const rows = subjects.map(({ of, by }, i): OperatorRow => {
    const { median, p10, p90, disturbed } = timings[i]!;
    const strict = subjects.findIndex((other) => other.of === of && other.by === "strict");
    const own = by === "strict" || by === "fast";
    const limit = limitOf(of.work, limits, by);
    const share = limit.ms / median;
    if (own && share > 1) impossible.push(`${of.name} (${by}, ${limit.name}, ${share.toFixed(3)})`);
    const ofTangents = (perTangent: number) =>
      of.tangents === undefined ? "" : ((of.tangents * perTangent) / 1e6 / median).toFixed(3);
    return {
      case: of.name,
      what: of.words,
      by,
      median_ms: median.toPrecision(4),
      p10_ms: p10.toPrecision(4),
      p90_ms: p90.toPrecision(4),
      disturbed_share: disturbed.toFixed(2),
      limit: own ? limit.name : "",
      share_of_limit: own ? share.toFixed(3) : "",
      share_of_division_roof: ofTangents(1 / peaks.divGops),
      share_of_exp_and_division_roof: ofTangents(1 / peaks.divGops + 1 / peaks.expGops),
      times_strict: (median / timings[strict]!.median).toPrecision(3),
      error_share_of_bound: margins[i]!.toFixed(4),
    };
  });
  return { rows, impossible };
}

export function operatorTable(rows: readonly OperatorRow[]): string {
  const right = "right" as const;
  const tangents = rows.some((row) => row.share_of_division_roof !== "");
  const table = new Table({
    head: [
      ...["case", "by", "ms", "p10-p90", "limit", "of limit"],
      ...(tangents ? ["of division", "of exp + division"] : []),
      ...["times strict", "error"],
    ],
    colAligns: ["left", "left", right, right, "left", right, right, right, right, right],
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows) {
    table.push([
      ...[row.what, row.by, row.median_ms, `${row.p10_ms}-${row.p90_ms}`, row.limit, row.share_of_limit],
      ...(tangents ? [row.share_of_division_roof, row.share_of_exp_and_division_roof] : []),
      ...[row.times_strict, row.error_share_of_bound],
    ]);
  }
  return table.toString();
}
