/** Timing by interleaved rounds: what disturbs the machine for a while disturbs all alike, and medians forget it. */

export interface Timing {
  /** Milliseconds a call. */
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
  readonly calls: number;
  /** The part of the samples in which other work had the core for a while. */
  readonly disturbed: number;
}

export interface Effort {
  readonly rounds: number;
  readonly warmUpMs: number;
  /** At least so long is a sample: many calls of a short case, one of a long one. */
  readonly sampleMs: number;
}

/** A sample that had the core for less than this part of its time is taken again, so many times at most. */
const UNDISTURBED = 0.97;
const TRIES = 3;

interface Sample {
  readonly ms: number;
  /** Processor time over wall time. */
  readonly onCore: number;
}

function sample(call: () => void, count: number): Sample {
  const cpu = process.cpuUsage();
  const before = performance.now();
  for (let i = 0; i < count; i++) call();
  const elapsed = performance.now() - before;
  const { user, system } = process.cpuUsage(cpu);
  return { ms: elapsed / count, onCore: (user + system) / 1000 / elapsed };
}

/** The least disturbed of a few tries; the first one that was not disturbed ends them. */
function calmSample(call: () => void, count: number): Sample {
  let calmest = sample(call, count);
  for (let i = 1; i < TRIES && calmest.onCore < UNDISTURBED; i++) {
    const next = sample(call, count);
    if (next.onCore > calmest.onCore) calmest = next;
  }
  return calmest;
}

/** Times all subjects in rounds; `between` runs after each round. */
export function timeInRounds(
  subjects: readonly (() => void)[],
  { rounds, warmUpMs, sampleMs }: Effort,
  between: (round: number) => void,
): Timing[] {
  const states = subjects.map((call) => {
    const end = performance.now() + warmUpMs;
    let calls = 0;
    let best = Number.POSITIVE_INFINITY;
    do {
      const before = performance.now();
      call();
      best = Math.min(best, performance.now() - before);
      calls++;
    } while (performance.now() < end || calls < 3);
    return { call, perSample: Math.max(1, Math.ceil(sampleMs / Math.max(best, 1e-4))), samples: [] as Sample[] };
  });
  for (let round = 0; round < rounds; round++) {
    for (const { call, perSample, samples } of states) samples.push(calmSample(call, perSample));
    between(round);
  }
  return states.map(({ samples, perSample }) => {
    const sorted = samples.map(({ ms }) => ms).sort((a, b) => a - b);
    return {
      median: quantile(sorted, 0.5),
      p10: quantile(sorted, 0.1),
      p90: quantile(sorted, 0.9),
      calls: perSample * rounds,
      disturbed: samples.filter(({ onCore }) => onCore < UNDISTURBED).length / rounds,
    };
  });
}

/** The value that a share of the sorted values lies below, between the two nearest ones. */
export function quantile(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1);
  const [low, high] = [Math.floor(place), Math.ceil(place)];
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (place - low);
}
