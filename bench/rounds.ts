/** Timing by interleaved rounds: what disturbs the machine for a while disturbs all alike, and medians forget it. */

export interface Timing {
  /** Milliseconds a call. */
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
  readonly calls: number;
  /** Milliseconds a call in each round; null where the subject sat it out. */
  readonly rounds: readonly (number | null)[];
  /** The part of the samples in which other work had the core for a while; null where nobody can tell. */
  readonly disturbed: number | null;
}

export interface Effort {
  readonly rounds: number;
  readonly warmUpMs: number;
  /** At least so long is a sample: many calls of a short case, one of a long one. */
  readonly sampleMs: number;
  /** About so long is all that one subject is given: what takes long per call sits out some rounds, all but three. */
  readonly subjectMs: number;
}

/** Milliseconds of processor time of this process so far; null where nobody can tell. */
export type CpuTime = () => number | null;

/** A sample that had the core for less than this part of its time is taken again, so many times at most. */
const UNDISTURBED = 0.97;
const TRIES = 3;
/** What takes longer than this is hardly ever undisturbed. */
const TRIED_AGAIN_MS = 200;
const FEWEST_ROUNDS = 3;
/** Long enough for the coarsest clock of an engine, 0.1 ms. */
const CALIBRATION_MS = 2;

interface Sample {
  readonly ms: number;
  /** Processor time over wall time. */
  readonly onCore: number | null;
}

/** Calls may be synchronous, which are not waited for, or not. */
type Call = () => unknown;

async function repeat(call: Call, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const given = call();
    if (given instanceof Promise) await given;
  }
}

async function sample(call: Call, count: number, cpuTime: CpuTime): Promise<Sample> {
  const cpu = cpuTime();
  const before = performance.now();
  await repeat(call, count);
  const elapsed = performance.now() - before;
  return { ms: elapsed / count, onCore: cpu === null ? null : (cpuTime()! - cpu) / elapsed };
}

/** The least disturbed of a few tries; the first one that was not disturbed ends them. */
async function calmSample(call: Call, count: number, cpuTime: CpuTime): Promise<Sample> {
  let calmest = await sample(call, count, cpuTime);
  const tries = calmest.ms * count > TRIED_AGAIN_MS ? 1 : TRIES;
  for (let i = 1; i < tries && (calmest.onCore ?? 1) < UNDISTURBED; i++) {
    const next = await sample(call, count, cpuTime);
    if (next.onCore! > calmest.onCore!) calmest = next;
  }
  return calmest;
}

/** Calls for a while, until the engine has compiled what it will, and tells how long one takes, in milliseconds. */
export async function warmUp(call: Call, milliseconds: number, cpuTime: CpuTime = () => null): Promise<number> {
  const end = performance.now() + milliseconds;
  let best = Number.POSITIVE_INFINITY;
  let count = 1;
  do {
    const { ms } = await sample(call, count, cpuTime);
    if (ms * count < CALIBRATION_MS) count *= 2;
    else best = Math.min(best, ms);
  } while (performance.now() < end || best === Number.POSITIVE_INFINITY);
  return best;
}

/** Times all subjects in rounds; `between` runs after each round. */
export async function timeInRounds(
  subjects: readonly Call[],
  { rounds, warmUpMs, sampleMs, subjectMs }: Effort,
  between: (round: number) => unknown,
  cpuTime: CpuTime = () => null,
): Promise<Timing[]> {
  const states: { call: Call; perSample: number; every: number; samples: Sample[]; rounds: (number | null)[] }[] = [];
  for (const call of subjects) {
    const ms = await warmUp(call, warmUpMs);
    const perSample = Math.max(1, Math.ceil(sampleMs / ms));
    const affordable = Math.max(FEWEST_ROUNDS, Math.floor(subjectMs / (ms * perSample)));
    states.push({ call, perSample, every: Math.max(1, rounds / affordable), samples: [], rounds: [] });
  }
  for (let round = 0; round < rounds; round++) {
    for (const { call, perSample, every, samples, rounds } of states) {
      // Those that sit out rounds take the first one of every so many.
      const sitsOut = Math.floor(round / every) !== samples.length;
      if (!sitsOut) samples.push(await calmSample(call, perSample, cpuTime));
      rounds.push(sitsOut ? null : samples.at(-1)!.ms);
    }
    await between(round);
  }
  return states.map(({ samples, perSample, rounds }) => {
    const sorted = samples.map(({ ms }) => ms).sort((a, b) => a - b);
    const known = samples.every(({ onCore }) => onCore !== null);
    return {
      median: quantile(sorted, 0.5),
      p10: quantile(sorted, 0.1),
      p90: quantile(sorted, 0.9),
      calls: perSample * samples.length,
      rounds,
      disturbed: known ? samples.filter(({ onCore }) => onCore! < UNDISTURBED).length / samples.length : null,
    };
  });
}

/** The value that a share of the sorted values lies below, between the two nearest ones. */
export function quantile(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1);
  const [low, high] = [Math.floor(place), Math.ceil(place)];
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (place - low);
}

export const median = (values: readonly number[]): number =>
  quantile(
    values.toSorted((a, b) => a - b),
    0.5,
  );
