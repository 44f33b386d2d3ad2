/** Cold rows: the first call of a fresh process, before the engine has compiled its best code, and the same after our warm-up. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { quantile } from "../rounds.ts";
import type { Row } from "../rows.ts";

export interface ColdCase {
  readonly name: string;
  readonly words: string;
  /** The same case warm, and how many times as long this one may take. */
  readonly against: { readonly name: string; readonly goal?: number };
  /** `init({ warmup: true })` comes first; other libraries have nothing of the kind. */
  readonly warmedUp?: true;
}

/** Prefill and steps of decoding; and small calls, of which none can be cold in a few times the microseconds it takes warm. */
const REAL = ["prefill-64", "decode-4096", "cache-f32", "cache-bf16", "cache-int8"];
const SMALL = ["small-64", "fixed-cost"];

const both = (name: string, goals: { readonly cold?: number; readonly warmed?: number }): ColdCase[] => {
  const against = (goal: number | undefined) => ({ name, ...(goal && { goal }) });
  const after = "the first call after init";
  return [
    { name: `cold-${name}`, words: `${name}, ${after}()`, against: against(goals.cold) },
    {
      name: `warmed-${name}`,
      words: `${name}, ${after}({ warmup: true })`,
      against: against(goals.warmed),
      warmedUp: true,
    },
  ];
};

export const COLD_CASES: readonly ColdCase[] = [
  ...REAL.flatMap((name) => both(name, { cold: 5, warmed: 2 })),
  ...SMALL.flatMap((name) => both(name, {})),
];

/** Cold cases whose names contain a text. */
export const coldLike = (text: string): ColdCase[] => COLD_CASES.filter(({ name }) => name.includes(text));

const PROGRAM = fileURLToPath(new URL("./first-call.ts", import.meta.url));
const run = promisify(execFile);

const isOurs = ({ by }: Row): boolean => by === "strict" || by === "fast";

async function firstCall({ against, warmedUp }: ColdCase, { by, how }: Row): Promise<number> {
  const args = [...process.execArgv, PROGRAM, against.name, by, how, warmedUp ? "warmed-up" : "cold"];
  const { stdout } = await run(process.execPath, args);
  return Number(stdout);
}

/** A row for every row that was timed warm; `processes` of each, in interleaved rounds. */
export async function coldRows(cases: readonly ColdCase[], warm: readonly Row[], processes: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const each of cases) {
    const { name, words, against } = each;
    const timed = warm.filter((row) => row.case === against.name && row.median !== null && row.threads === 1);
    const subjects = each.warmedUp ? timed.filter(isOurs) : timed;
    const times = subjects.map((): number[] => []);
    for (let round = 0; round < processes; round++) {
      for (const [i, subject] of subjects.entries()) times[i]!.push(await firstCall(each, subject));
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
          ...{ plain: against.name, part: over(median, subject.median) },
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
