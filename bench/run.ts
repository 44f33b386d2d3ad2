/** A run, in Node.js or in a page: block after block, its cases checked, timed in interleaved rounds, and given back. */
import { capabilities, createEngine, type Engine } from "saccade";
import type { BenchCase } from "./case.ts";
import { type Build, Limits } from "./limits.ts";
import type { Peer } from "./peers/task.ts";
import type { Pair } from "./roof/pair.mjs";
import type { Peaks, Roof } from "./roof/roof.mjs";
import { type CpuTime, type Effort, median, timeInRounds } from "./rounds.ts";
import { type Row, rowsOf } from "./rows.ts";
import { type Attempt, attempts, isSubject } from "./subjects.ts";

export interface RunOptions {
  readonly cases: readonly BenchCase[];
  readonly builds: readonly (readonly [Build, Engine])[];
  /** Our strict build on several threads. */
  readonly threaded?: Engine | undefined;
  readonly peers: readonly Peer[];
  readonly roof: Roof;
  /** Two threads at once, where there can be two. */
  readonly pair?: Pair | null;
  readonly effort: Effort;
  readonly cpuTime?: CpuTime;
  /** Told of every block when it begins. */
  readonly onBlock?: (name: string, place: number) => void;
}

export interface Run {
  readonly rows: Row[];
  /** Medians over all rounds. */
  readonly peaks: Peaks;
  /** 1e9 bytes a second, for every number of bytes that was read. */
  readonly reads: ReadonlyMap<number, number>;
}

export const FULL: Effort = { rounds: 15, warmUpMs: 150, sampleMs: 25, subjectMs: 1200 };
export const QUICK: Effort = { rounds: 4, warmUpMs: 80, sampleMs: 8, subjectMs: 400 };

/** Our builds that this engine can run. */
export async function loadBuilds(say: (line: string) => void): Promise<[Build, Engine][]> {
  const strict = await createEngine({ build: "strict" });
  if (capabilities().relaxedSimd)
    return [
      ["strict", strict],
      ["fast", await createEngine({ build: "fast" })],
    ];
  say("SKIPPED: the fast build; this engine has no relaxed SIMD (or hides it behind a flag)");
  return [["strict", strict]];
}

/** On how many threads our strict build is timed beside one. */
export const THREADS = 2;
/** Longer than any run: threads that end for want of work would have to be started again in a later block. */
const NEVER_IDLE_MS = 86_400_000;

/** Our strict build on several threads, which park while others are timed; undefined, with the reason said, without them. */
export async function loadThreaded(say: (line: string) => void): Promise<Engine | undefined> {
  const engine = await createEngine({ build: "strict", threads: THREADS, idleTimeoutMs: NEVER_IDLE_MS });
  const { threads, threadsReason } = engine.stats();
  if (threads === THREADS) return engine;
  engine.dispose();
  say(`SKIPPED: ${THREADS} threads; ${threadsReason}`);
  return undefined;
}

export async function run({
  cases,
  builds,
  threaded,
  peers,
  roof,
  pair = null,
  effort,
  cpuTime,
  onBlock,
}: RunOptions): Promise<Run> {
  const rows: Row[] = [];
  const blocks: Limits[] = [];
  for (const name of new Set(cases.map(({ block }) => block))) {
    const block = cases.filter((each) => each.block === name);
    onBlock?.(name, blocks.length + 1);
    const limits = new Limits(
      roof,
      block.map(({ work }) => work),
      threaded ? pair : null,
      block.flatMap((each) => (each.threaded ? [each.work] : [])),
    );
    const all = [];
    for (const each of block) all.push(...(await attempts(each, builds, peers, threaded)));
    const subjects = all.filter(isSubject);
    const isLast = ({ build, threads }: Attempt) => build !== null && threads > 1;
    // What our threads are set against is measured at the end of a round.
    const inOrder = [...subjects.filter((each) => !isLast(each)), ...subjects.filter(isLast)];
    const calls = inOrder.map(({ placed }) => placed.call);
    const between = async () => {
      limits.measure();
      // A page that never pauses is taken for dead.
      await new Promise((resolve) => setTimeout(resolve));
    };
    const timings = await timeInRounds(calls, effort, between, cpuTime);
    const inPlace = subjects.map((each) => timings[inOrder.indexOf(each)]!);
    rows.push(...rowsOf(all, inPlace, limits));
    blocks.push(limits);
    for (const { placed } of subjects) await placed.dispose?.();
  }
  return { rows, ...overall(blocks) };
}

function overall(blocks: readonly Limits[]): Omit<Run, "rows"> {
  const all = blocks.map(({ peaks }) => peaks);
  const medianOf = (rate: (peaks: Peaks) => number) => median(all.map(rate));
  const fused = all.some(({ fusedGflops }) => fusedGflops === null);
  const peaks = {
    strictGflops: medianOf(({ strictGflops }) => strictGflops),
    fusedGflops: fused ? null : medianOf(({ fusedGflops }) => fusedGflops ?? 0),
    divGops: medianOf(({ divGops }) => divGops),
    expGops: medianOf(({ expGops }) => expGops),
  };
  return { peaks, reads: new Map(blocks.flatMap(({ reads }) => [...reads])) };
}
