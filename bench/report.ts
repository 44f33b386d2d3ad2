import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import Table from "cli-table3";
import { stringify } from "csv-stringify/sync";
import type { Case } from "./case.ts";
import type { Build, LimitName } from "./limits.ts";
import type { OperatorRow } from "./operators.ts";
import type { Peaks } from "./roof/roof.mjs";
import type { Timing } from "./rounds.ts";

export interface Row {
  readonly of: Case;
  readonly build: Build;
  readonly margin: number;
  readonly timing: Timing;
  readonly gflops: number;
  /** Which limit of the machine comes first for this case, and what share of it was reached. */
  readonly roof: LimitName;
  readonly share: number;
  /** The time as a part of that of the case it is set against. */
  readonly ratio: number | null;
}

export function machine() {
  return {
    engine: `node ${process.versions.node} (v8 ${process.versions.v8})`,
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    date: new Date().toISOString().slice(0, 10),
  };
}

export function roofText(roof: Peaks): string {
  const fused = roof.fusedGflops === null ? "no relaxed SIMD" : `${roof.fusedGflops.toFixed(1)} GFLOP/s fused`;
  return [
    `${roof.strictGflops.toFixed(1)} GFLOP/s strict, ${fused}`,
    `exp2 ${roof.expGops.toFixed(2)} G/s, division ${roof.divGops.toFixed(2)} G/s`,
  ].join("; ");
}

const ms = (value: number) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

export function tableOf(rows: readonly Row[]): string {
  const right = "right" as const;
  const table = new Table({
    head: ["case", "what", "build", "ms", "p10-p90", "GFLOP/s", "roof", "share", "of plain", "error"],
    colAligns: ["left", "left", "left", right, right, right, "left", right, right, right],
    style: { head: [], border: [], compact: true },
  });
  for (const { of, build, timing, gflops, roof, share, ratio, margin } of rows) {
    const spread = `${ms(timing.p10)}-${ms(timing.p90)}`;
    const goal = of.against?.goal === undefined ? "" : ` (${of.against.goal})`;
    const part = ratio === null ? "" : `${ratio.toPrecision(2)}${goal}`;
    const figures = [ms(timing.median), spread, gflops.toFixed(1), roof, share.toFixed(2), part, margin.toFixed(3)];
    table.push([of.name, of.words, build, ...figures]);
  }
  return table.toString();
}

/** Writes the run under `folder` and returns the file's name there. */
export function record(rows: readonly Row[], peaks: Peaks, folder: URL): string {
  const { engine, cpu, cores, date } = machine();
  const fixed = { date, engine, machine: cpu, cores };
  const roofs = {
    strict_peak_gflops: peaks.strictGflops.toFixed(2),
    fused_peak_gflops: peaks.fusedGflops?.toFixed(2) ?? "",
  };
  const records = rows.map(({ of, build, timing, gflops, roof, share, ratio, margin }) => ({
    ...fixed,
    case: of.name,
    what: of.words,
    build,
    median_ms: timing.median.toPrecision(5),
    p10_ms: timing.p10.toPrecision(5),
    p90_ms: timing.p90.toPrecision(5),
    calls: timing.calls,
    disturbed_share: timing.disturbed.toFixed(2),
    gflops: gflops.toFixed(2),
    roof,
    share_of_roof: share.toFixed(3),
    part_of_plain: ratio?.toFixed(4) ?? "",
    plain_case: of.against?.name ?? "",
    error_share_of_bound: margin.toFixed(4),
    ...roofs,
  }));
  return write(records, "", folder);
}

/** The same for the operators beside attention. */
export function recordOperators(rows: readonly OperatorRow[], peaks: Peaks, folder: URL): string {
  const { engine, cpu, cores, date } = machine();
  const roofs = {
    strict_peak_gflops: peaks.strictGflops.toFixed(2),
    fused_peak_gflops: peaks.fusedGflops?.toFixed(2) ?? "",
    division_gops: peaks.divGops.toFixed(3),
    exp_gops: peaks.expGops.toFixed(3),
  };
  return write(
    rows.map((row) => ({ date, engine, machine: cpu, cores, ...row, ...roofs })),
    "-operators",
    folder,
  );
}

function write(records: readonly object[], kind: string, folder: URL): string {
  const { cpu, date } = machine();
  const slug = (text: string) =>
    text
      .toLowerCase()
      .replace(/\((?:r|tm)\)/g, "")
      .replace(/[^a-z0-9.]+/g, "-")
      .replace(/^-|-$/g, "");
  const name = `${date}-${slug(`node-${process.versions.node}`)}-${slug(cpu)}${kind}.csv`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(new URL(name, folder), stringify([...records], { header: true }));
  return name;
}
