/**
 * The operators beside attention: what is measured, set against the machine's limits and against other libraries in the same rounds.
 */
import Table from "cli-table3";
import { additive, attentionPooling, type Engine, Tensor } from "saccade";
import type { Build, Limits } from "./limits.ts";
import { createPeers, type Peer } from "./peers/tfjs.ts";
import type { Peaks } from "./roof/roof.mjs";
import type { Timing } from "./rounds.ts";

/** Additive attention: `[qLen, hidden]` against `[kvLen, hidden]`, both projected, values `[kvLen, valueDim]`. */
export interface AdditiveCase {
  readonly name: string;
  readonly words: string;
  readonly qLen: number;
  readonly kvLen: number;
  readonly hidden: number;
  readonly valueDim: number;
}

export const OPERATOR_CASES: readonly AdditiveCase[] = [
  {
    name: "additive-128",
    words: "additive, 128 queries x 1024 keys x 128 hidden",
    ...{ qLen: 128, kvLen: 1024, hidden: 128, valueDim: 128 },
  },
  {
    name: "additive-step",
    words: "additive, 1 query x 1024 keys x 128 hidden",
    ...{ qLen: 1, kvLen: 1024, hidden: 128, valueDim: 128 },
  },
];

export const operatorsLike = (text: string): readonly AdditiveCase[] =>
  OPERATOR_CASES.filter(({ name }) => name.includes(text));

/** What is timed: one case, by one build of ours or by a peer. */
export interface OperatorSubject {
  readonly of: AdditiveCase;
  readonly by: Build | string;
  readonly call: () => void;
  /** The largest error of sampled rows as a share of what float32 rounding explains. */
  readonly margin: () => number;
}

/** Operands as plain numbers; the same in every run. */
export interface AdditiveInputs {
  readonly query: Float32Array<ArrayBuffer>;
  readonly key: Float32Array<ArrayBuffer>;
  readonly value: Float32Array<ArrayBuffer>;
  readonly v: Float32Array<ArrayBuffer>;
}

function inputsOf({ qLen, kvLen, hidden, valueDim }: AdditiveCase): AdditiveInputs {
  const painted = (length: number, seed: number): Float32Array<ArrayBuffer> => {
    let state = seed;
    const next = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state / 2 ** 31 - 1;
    };
    return Float32Array.from({ length }, () => next() + next());
  };
  return {
    query: painted(qLen * hidden, 1),
    key: painted(kvLen * hidden, 2),
    value: painted(kvLen * valueDim, 3),
    v: painted(hidden, 4),
  };
}

/** The subjects of some cases: every build of ours, and the peers that are installed. */
export async function operatorSubjects(
  cases: readonly AdditiveCase[],
  builds: readonly (readonly [Build, Engine])[],
): Promise<OperatorSubject[]> {
  const subjects: OperatorSubject[] = [];
  for (const of of cases) {
    const inputs = inputsOf(of);
    const checked = (by: string, call: () => void, result: () => ArrayLike<number>): void => {
      subjects.push({
        of,
        by,
        call,
        margin() {
          call();
          return marginOf(of, inputs, result());
        },
      });
    };
    for (const [build, engine] of builds) {
      const { call, out } = ours(of, inputs, engine);
      checked(build, call, () => out.toPlain().data);
    }
    for (const peer of await createPeers(of, inputs)) checked(peer.name, peer.call, peer.result);
  }
  return subjects;
}

function ours({ qLen, kvLen, hidden, valueDim }: AdditiveCase, inputs: AdditiveInputs, engine: Engine) {
  const resident = (data: Float32Array<ArrayBuffer>, ...shape: number[]) => Tensor.from({ data, shape }, { engine });
  const query = resident(inputs.query, qLen, hidden);
  const key = resident(inputs.key, kvLen, hidden);
  const value = resident(inputs.value, kvLen, valueDim);
  const score = additive({ v: { data: inputs.v, shape: [hidden] } });
  const out = Tensor.zeros([qLen, valueDim], "float32", { engine });
  return { out, call: () => void attentionPooling(query, key, value, { score, out, engine }) };
}

const SAMPLED_ROWS = 6;

/** Sampled rows against f64: twice what the scores may err by, and the product's own roundings. */
function marginOf(of: AdditiveCase, { query, key, value, v }: AdditiveInputs, got: ArrayLike<number>): number {
  const { qLen, kvLen, hidden, valueDim } = of;
  const u = 2 ** -24;
  const size = v.reduce((sum, x) => sum + Math.abs(x), 0);
  const segments = Math.ceil(hidden / 64);
  const score = u * (8 + 2 + 2 * (Math.min(hidden, 64) / 2 + segments) + 21) * size;
  const relative = 2 * score + u * (60 + 66 + kvLen / 64);
  let largest = 0;
  for (let i = 0; i < qLen; i += Math.max(1, Math.floor(qLen / SAMPLED_ROWS)) | 1) {
    const scores = Array.from({ length: kvLen }, (_, j) => {
      let sum = 0;
      for (let h = 0; h < hidden; h++) sum += v[h]! * Math.tanh(query[i * hidden + h]! + key[j * hidden + h]!);
      return sum;
    });
    const most = Math.max(...scores);
    const powers = scores.map((s) => Math.exp(s - most));
    const total = powers.reduce((a, b) => a + b, 0);
    for (let d = 0; d < valueDim; d++) {
      let [exact, magnitude] = [0, 0];
      powers.forEach((p, j) => {
        exact += (p / total) * value[j * valueDim + d]!;
        magnitude += (p / total) * Math.abs(value[j * valueDim + d]!);
      });
      largest = Math.max(largest, Math.abs(got[i * valueDim + d]! - exact) / (relative * magnitude));
    }
  }
  return largest;
}

const tanhs = ({ qLen, kvLen, hidden }: AdditiveCase): number => qLen * kvLen * hidden;

/**
 * Milliseconds that this algorithm cannot go below: half a division and 3.5 additions and products a tanh, and the product with
 * the values; whichever takes longer.
 */
function limitOf(of: AdditiveCase, { strictGflops, fusedGflops, divGops }: Peaks, by: string): number {
  const flops = 3.5 * tanhs(of) + 2 * of.qLen * of.kvLen * of.valueDim;
  const peak = Math.max(strictGflops, by === "fast" ? (fusedGflops ?? 0) : 0);
  return Math.max(tanhs(of) / 2 / divGops, flops / peak) / 1e6;
}

export interface OperatorRow {
  readonly case: string;
  readonly what: string;
  readonly by: string;
  readonly median_ms: string;
  readonly p10_ms: string;
  readonly p90_ms: string;
  /** Of the limit of this algorithm; for ours alone. */
  readonly share_of_limit: string;
  /** Of the time that one division for every tanh takes; below: of one exponential and one division. */
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
    const { median, p10, p90 } = timings[i]!;
    const strict = subjects.findIndex((other) => other.of === of && other.by === "strict");
    const own = by === "strict" || by === "fast";
    const share = limitOf(of, peaks, by) / median;
    if (own && share > 1) impossible.push(`${of.name} (${by})`);
    const division = tanhs(of) / peaks.divGops / 1e6;
    const exp = tanhs(of) / peaks.expGops / 1e6;
    return {
      case: of.name,
      what: of.words,
      by,
      median_ms: median.toPrecision(4),
      p10_ms: p10.toPrecision(4),
      p90_ms: p90.toPrecision(4),
      share_of_limit: own ? share.toFixed(3) : "",
      share_of_division_roof: (division / median).toFixed(3),
      share_of_exp_and_division_roof: ((division + exp) / median).toFixed(3),
      times_strict: (median / timings[strict]!.median).toPrecision(3),
      error_share_of_bound: margins[i]!.toFixed(4),
    };
  });
  return { rows, impossible };
}

export function operatorTable(rows: readonly OperatorRow[]): string {
  const right = "right" as const;
  const table = new Table({
    head: ["case", "by", "ms", "p10-p90", "of limit", "of division", "of exp + division", "times strict", "error"],
    colAligns: ["left", "left", right, right, right, right, right, right, right],
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows) {
    table.push([
      ...[row.what, row.by, row.median_ms, `${row.p10_ms}-${row.p90_ms}`, row.share_of_limit],
      ...[row.share_of_division_roof, row.share_of_exp_and_division_roof, row.times_strict, row.error_share_of_bound],
    ]);
  }
  return table.toString();
}

export type { Peer };
