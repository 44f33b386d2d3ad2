/** A run against an earlier one of the same machine and engine. */
import Table from "cli-table3";
import { authorOf, type Line, ROOF } from "./line.ts";
import { ms } from "./table.ts";

export interface Change {
  readonly case: string;
  readonly by: string;
  readonly before: number;
  readonly now: number;
  /** Per cent of the time before; negative is faster. */
  readonly percent: number;
  /** No time between the 10th and the 90th hundredth of one run lies between those of the other. */
  readonly outside: boolean;
}

const keyOf = ({ case: name, by, threads }: Line): string => [name, by, threads].join("\n");

/** Rows that both runs have a time for. */
export function changesOf(now: readonly Line[], before: readonly Line[]): Change[] {
  const earlier = new Map(before.map((line) => [keyOf(line), line]));
  return now.flatMap((line): Change[] => {
    const then = earlier.get(keyOf(line));
    if (line.case === ROOF || !then?.median_ms || !line.median_ms) return [];
    const [a, b] = [Number(then.median_ms), Number(line.median_ms)];
    const outside = Number(line.p10_ms) > Number(then.p90_ms) || Number(line.p90_ms) < Number(then.p10_ms);
    return [
      {
        case: line.case,
        by: authorOf(line.by, Number(line.threads)),
        before: a,
        now: b,
        percent: 100 * (b / a - 1),
        outside,
      },
    ];
  });
}

export function comparison(now: readonly Line[], before: readonly Line[]): string {
  const right = "right" as const;
  const table = new Table({
    head: ["case", "by", `ms on ${before[0]?.date}`, "ms now", "change", ""],
    colAligns: ["left", "left", right, right, right, "left"],
    style: { head: [], border: [], compact: true },
  });
  for (const { case: name, by, before: then, now: time, percent, outside } of changesOf(now, before)) {
    const mark = outside ? (percent > 0 ? "slower" : "faster") : "";
    table.push([name, by, ms(then), ms(time), `${percent > 0 ? "+" : ""}${percent.toFixed(1)} %`, mark]);
  }
  const roof = (lines: readonly Line[]) =>
    lines.find(({ case: name, limit }) => name === ROOF && limit === "strict")?.rate;
  const peaks = `strict peak: ${roof(before)} GFLOP/s then, ${roof(now)} now`;
  return `${table}\n${peaks}; "slower" and "faster" stand where the spreads of both runs (p10 to p90) do not meet`;
}
