/** Runs as files: one line a row, several kinds in one form. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { stringify } from "csv-stringify/sync";
import type { Row } from "../rows.ts";
import type { Run } from "../run.ts";
import { COLUMNS, type Line, ROOF } from "./line.ts";
import { fileNameOf, type Machine } from "./machine.ts";
import { plotNameOf, plotOf } from "./plot.ts";

const digits = (value: number | null, precision = 4): string => {
  if (value === null) return "";
  // Exact to so many places, and never in powers of ten.
  return Number.isFinite(value) ? String(Number(value.toPrecision(precision))) : "";
};

/** Lines of a run: its roof, then its rows. */
export function linesOf({ rows, peaks, reads }: Run, { date, engine, machine, cores }: Machine): Line[] {
  const fixed = { date, engine, machine, cores: String(cores) };
  const empty = Object.fromEntries(COLUMNS.map((name) => [name, ""])) as Line;
  const roof = (limit: string, what: string, rate: number | null): Line => ({
    ...empty,
    ...fixed,
    ...{ threads: "1", case: ROOF, status: "ok", what, limit, rate: digits(rate) },
  });
  return [
    roof("strict", "GFLOP/s, separate multiplications and additions", peaks.strictGflops),
    ...(peaks.fusedGflops === null ? [] : [roof("fused", "GFLOP/s, fused multiply-add", peaks.fusedGflops)]),
    roof("exp", "10^9 exp2 a second", peaks.expGops),
    roof("division", "10^9 divisions a second", peaks.divGops),
    ...[...reads].map(([bytes, rate]) => roof("read", `GB/s, ${bytes} bytes`, rate)),
    ...rows.map((row): Line => ({ ...empty, ...fixed, ...lineOf(row) })),
  ];
}

function lineOf(row: Row): Omit<Line, "date" | "engine" | "machine" | "cores"> {
  const { case: name, what, by, version, how, status, limit, note } = row;
  return {
    ...{ threads: String(row.threads), case: name, what, by, version, how, status, limit, note },
    median_ms: digits(row.median, 5),
    p10_ms: digits(row.p10, 5),
    p90_ms: digits(row.p90, 5),
    calls: String(row.calls),
    disturbed_share: digits(row.disturbed, 2),
    rate: digits(row.rate),
    share_of_limit: digits(row.share, 3),
    plain_case: row.plain,
    part_of_plain: digits(row.part),
    times_strict: digits(row.timesStrict),
    times_fast: digits(row.timesFast),
    error_share_of_bound: digits(row.error, 2),
  };
}

export const csvOf = (lines: readonly Line[]): string => stringify([...lines], { header: true, columns: [...COLUMNS] });

/** The lines of a file that `csvOf` wrote; what is not of that form is an error that says where. */
export function linesIn(csv: string): Line[] {
  const [head, ...records] = recordsIn(csv);
  const missing = COLUMNS.filter((name) => !head?.includes(name));
  if (missing.length > 0) throw new Error(`the record has no column ${missing.join(", ")}`);
  return records.map((fields, i) => {
    if (fields.length !== head!.length) {
      throw new Error(`line ${i + 2} of the record has ${fields.length} fields, not ${head!.length}`);
    }
    return Object.fromEntries(head!.map((name, at) => [name, fields[at]!])) as Line;
  });
}

/** Fields of comma-separated values (RFC 4180): a field in quotes may hold commas, line ends, and quotes written twice. */
function recordsIn(csv: string): string[][] {
  const records: string[][] = [];
  let record: string[] = [];
  for (const [, quoted, plain, end] of csv.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
    if (quoted === undefined && plain === "" && end === "" && record.length === 0) break;
    record.push(quoted?.replaceAll('""', '"') ?? plain!);
    if (end === ",") continue;
    records.push(record);
    record = [];
  }
  return records;
}

/** Writes a run and its plot under `folder` and returns the files' names there. */
export function record(lines: readonly Line[], machine: Machine, folder: URL): string[] {
  const [csv, svg] = [fileNameOf(machine), plotNameOf(machine)];
  mkdirSync(folder, { recursive: true });
  writeFileSync(new URL(csv, folder), csvOf(lines));
  writeFileSync(new URL(svg, folder), plotOf(lines));
  return [csv, svg];
}

/** The last run of a machine and engine under `folder`, or undefined. */
export function lastRecord({ engine, machine }: Pick<Machine, "engine" | "machine">, folder: URL): Line[] | undefined {
  const names = readdirSync(folder).filter((name) => name.endsWith(".csv"));
  // Names begin with dates, so the last one is the latest.
  for (const name of names.sort().reverse()) {
    const lines = linesIn(readFileSync(new URL(name, folder), "utf8"));
    if (lines[0]?.engine === engine && lines[0].machine === machine) return lines;
  }
  return undefined;
}
