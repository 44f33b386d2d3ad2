/** Cold rows: the first call of a fresh process, before the engine has compiled its best code. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { quantile } from "../rounds.ts";
import type { Row } from "../rows.ts";

export interface ColdCase {
  readonly name: string;
  readonly words: string;
  /** The same case warm. */
  readonly warm: string;
}

export const COLD_CASES: readonly ColdCase[] = [
  { name: "cold-prefill-64", words: "prefill-64, the first call of a process", warm: "prefill-64" },
  { name: "cold-cache-f32", words: "cache-f32, the first call of a process", warm: "cache-f32" },
];

/** Cold cases whose names contain a text. */
export const coldLike = (text: string): ColdCase[] => COLD_CASES.filter(({ name }) => name.includes(text));

const PROGRAM = fileURLToPath(new URL("./first-call.ts", import.meta.url));
const run = promisify(execFile);

async function firstCall(name: string, { by, how }: Row): Promise<number> {
  const { stdout } = await run(process.execPath, [...process.execArgv, PROGRAM, name, by, how]);
  return Number(stdout);
}

/** A row for every row that was timed warm; `processes` of each, in interleaved rounds. */
export async function coldRows(cases: readonly ColdCase[], warm: readonly Row[], processes: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const { name, words, warm: of } of cases) {
    const subjects = warm.filter((row) => row.case === of && row.median !== null);
    const times = subjects.map((): number[] => []);
    for (let round = 0; round < processes; round++) {
      for (const [i, subject] of subjects.entries()) times[i]!.push(await firstCall(of, subject));
    }
    const medianOf = (i: number) => (i < 0 ? null : at(times[i]!, 0.5));
    const over = (a: number | null, b: number | null) => (a === null || b === null ? null : a / b);
    const [strict, fast] = ["strict", "fast"].map((build) => medianOf(subjects.findIndex(({ by }) => by === build)));
    rows.push(
      ...subjects.map((subject, i): Row => {
        const median = medianOf(i);
        return {
          ...subject,
          ...{ case: name, what: words, median, p10: at(times[i]!, 0.1), p90: at(times[i]!, 0.9), calls: processes },
          ...{ disturbed: null, limit: "", rate: null, share: null, note: "" },
          ...{ plain: of, part: over(median, subject.median) },
          ...{ timesStrict: over(median, strict!), timesFast: over(median, fast ?? null) },
        };
      }),
    );
  }
  return rows;
}

const at = (times: readonly number[], share: number): number =>
  quantile(
    times.toSorted((a, b) => a - b),
    share,
  );
