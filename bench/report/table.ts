/** A run in the terminal. */
import Table from "cli-table3";
import type { BenchCase } from "../case.ts";
import type { Peaks } from "../roof/roof.mjs";
import type { Row } from "../rows.ts";
import { authorOf } from "./line.ts";

export function roofText(roof: Peaks): string {
  const fused = roof.fusedGflops === null ? "no relaxed SIMD" : `${roof.fusedGflops.toFixed(1)} GFLOP/s fused`;
  return [
    `${roof.strictGflops.toFixed(1)} GFLOP/s strict, ${fused}`,
    `exp2 ${roof.expGops.toFixed(2)} G/s, division ${roof.divGops.toFixed(2)} G/s`,
  ].join("; ");
}

export const ms = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
const optional = (value: number | null, digits: (value: number) => string): string =>
  value === null ? "" : digits(value);

/** One line a row, under a line for every case. */
export function tableOf(rows: readonly Row[], cases: readonly Pick<BenchCase, "name" | "against">[]): string {
  const right = "right" as const;
  const table = new Table({
    head: ["by", "ms", "p10-p90", "x strict", "x fast", "limit", "rate", "share", "of plain", "error"],
    colAligns: ["left", right, right, right, right, "left", right, right, right, right],
    style: { head: [], border: [], compact: true },
  });
  rows.forEach((row, i) => {
    if (rows[i - 1]?.case !== row.case) table.push([{ content: `${row.case}: ${row.what}`, colSpan: 10 }]);
    const goal = cases.find(({ name }) => name === row.case)?.against?.goal;
    const part = row.by === "strict" || row.by === "fast" ? row.part : null;
    table.push([
      `  ${authorOf(row.by, row.threads)}${row.how && `: ${row.how}`}`,
      row.median === null ? row.status : ms(row.median),
      row.p10 === null || row.p90 === null ? "" : `${ms(row.p10)}-${ms(row.p90)}`,
      row.by === "strict" && row.threads === 1 ? "" : optional(row.timesStrict, (x) => x.toPrecision(3)),
      row.by === "fast" ? "" : optional(row.timesFast, (x) => x.toPrecision(3)),
      row.limit,
      optional(row.rate, (x) => x.toPrecision(3)),
      optional(row.share, (x) => x.toFixed(2)),
      optional(part, (x) => `${x.toPrecision(2)}${goal === undefined ? "" : ` (${goal})`}`),
      optional(row.error, (x) => x.toPrecision(2)),
    ]);
  });
  return table.toString();
}

/** What could not be run, and why: one line each. */
export const notesOf = (rows: readonly Row[]): string[] =>
  rows
    .filter(({ note }) => note !== "")
    .map(({ case: name, by, threads, note }) => `${name}, ${authorOf(by, threads)}: ${note}`);
