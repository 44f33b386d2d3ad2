/** Who does a case: every build of ours, and of every other library the fastest way whose result is right. */
import type { Engine } from "saccade";
import type { BenchCase, Placed, Prepared } from "./case.ts";
import type { Build } from "./limits.ts";
import type { Choice, Peer } from "./peers/task.ts";
import { warmUp } from "./rounds.ts";

/** One case by one library, its result checked. */
export interface Subject {
  readonly of: BenchCase;
  /** Which build of ours; null for another library. */
  readonly build: Build | null;
  /** The name in the table: a build, or a library with the choice that it is. */
  readonly by: string;
  readonly version: string;
  readonly threads: number;
  /** The operators that another library does it with. */
  readonly how: string;
  readonly placed: Placed;
  /** The largest error of sampled rows as a share of what float32 rounding explains. */
  readonly margin: number;
  /** What is to be said beside the figures. */
  readonly note: string;
}

/** One that has no time: nothing of it could be run, or what it gave is wrong. */
export interface Failure extends Omit<Subject, "placed" | "margin"> {
  readonly status: "failed" | "wrong";
  readonly margin: number | null;
}

export type Attempt = Subject | Failure;

export const isSubject = (attempt: Attempt): attempt is Subject => "placed" in attempt;

/** Milliseconds that tell which of several ways is the fastest. */
const TRIAL_MS = 60;

/** A case by everyone who can do it; by `threaded`, an engine on several threads, where the case asks for it. */
export async function attempts(
  of: BenchCase,
  builds: readonly (readonly [Build, Engine])[],
  peers: readonly Peer[],
  threaded?: Engine,
): Promise<Attempt[]> {
  const prepared = of.prepare();
  const all: Attempt[] = [];
  const further = threaded && of.threaded ? [["strict", threaded] as const] : [];
  for (const [build, engine] of [...builds, ...further]) {
    const { threads } = engine.stats();
    const mine = { of, build, by: build, version: "", threads, how: "", note: "" };
    const placed = prepared.on(engine);
    const margin = await marginOf(placed, prepared);
    if (margin <= 1) all.push({ ...mine, placed, margin });
    else all.push({ ...mine, status: "wrong", margin, note: offBy(margin) });
  }
  for (const { name, version, threads = 1, choices } of peers) {
    if (threads > 1 && !of.threaded) continue;
    for (const choice of prepared.task ? choices(prepared.task) : []) {
      const by = rowNameOf({ name }, choice);
      const attempt = await fastest(choice, prepared, { of, build: null, by, version, threads });
      if (attempt) all.push(attempt);
    }
  }
  return all;
}

/** How a library's row is named in the table. */
export const rowNameOf = ({ name }: Pick<Peer, "name">, { label }: Pick<Choice, "label">): string =>
  label === undefined ? name : `${name} (${label})`;

async function marginOf(placed: Placed, prepared: Prepared): Promise<number> {
  await placed.call();
  return (placed.margin ?? prepared.margin)(placed.result());
}

const offBy = (margin: number): string => `off by ${margin.toPrecision(2)} times its error bound`;
const reasonOf = (error: unknown): string =>
  String((error as Error)?.message ?? error)
    .replace(/\s+/g, " ")
    .slice(0, 200);

/** Tries every way of a choice; keeps the fastest right one in place. */
async function fastest(
  { ways }: Choice,
  prepared: Prepared,
  named: Omit<Failure, "status" | "margin" | "how" | "note">,
): Promise<Attempt | undefined> {
  let best: { readonly how: string; readonly placed: Placed; readonly margin: number; readonly ms: number } | undefined;
  const notes: string[] = [];
  let wrong: number | undefined;
  for (const { how, place } of ways) {
    let placed: Placed | undefined;
    try {
      placed = await place();
      const margin = await marginOf(placed, prepared);
      if (margin <= 1) {
        const ms = ways.length === 1 ? 0 : await warmUp(placed.call, TRIAL_MS);
        if (best === undefined || ms < best.ms) {
          await best?.placed.dispose?.();
          best = { how, placed, margin, ms };
          continue;
        }
      } else {
        wrong = margin;
        notes.push(`${how} is ${offBy(margin)}`);
      }
    } catch (error) {
      notes.push(`${how} fails: ${reasonOf(error)}`);
    }
    // One that failed may fail again when it is given back.
    await Promise.resolve(placed)
      .then((each) => each?.dispose?.())
      .catch(() => undefined);
  }
  const note = notes.join("; ");
  if (best) return { ...named, how: best.how, placed: best.placed, margin: best.margin, note };
  if (ways.length === 0) return undefined;
  return { ...named, how: "", status: wrong === undefined ? "failed" : "wrong", margin: wrong ?? null, note };
}
