/**
 * Warming up: what a program has of calls is run beforehand, through the same functions, in rounds. A few on almost no work,
 * always: the JavaScript engine compiles a function when it is first called, keeps what it learns of a function's operands
 * from its ninth call on, and a call that comes before pays a tenth of a millisecond or more. Where it is asked for,
 * further ones on so much work that the engine compiles the kernels with its best tier. Each feature says how it is run
 * where the name gets its value that all its users need, in a call marked as pure: a bundler drops both together.
 */

import { type Engine, instanceOf } from "./engine.ts";
import { ResidentHandle } from "./layout/tensor-like.ts";
import type { Tensor } from "./tensor.ts";
import { Resident } from "./wasm/resident.ts";

/** One round, by its number: on almost no work, or `thorough`. */
type Run = (engine: Engine, round: number, thorough: boolean) => void;

/** Rounds on almost no work: with two or more calls in each, every function of a call is called more than eight times. */
const ROUNDS = 5;
/** Rounds in which kernels run until the engine has asked for their best code: in V8, once some 2 MB of their code have run. */
const THOROUGH_ROUNDS = 12;

/** What calls attention and the cache alone, and what needs operators. */
const runs: { readonly attention: Run[]; readonly operators: Run[] } = { attention: [], operators: [] };

/** Notes how a feature is run beforehand, and gives back what the feature is made of. */
export function warmedBy<T>(user: T, run: Run, needs: keyof typeof runs = "attention"): T {
  runs[needs].push(run);
  return user;
}

/** Runs what the program has, operators only where their module is there already. Nothing of it stays in memory. */
export function warmUp(engine: Engine, thorough: boolean): void {
  const rounds = thorough ? THOROUGH_ROUNDS : ROUNDS;
  for (let round = 0; round < rounds; round++) runAll(engine, round, thorough);
}

/**
 * The thorough rounds, with a pause as long as each after it: other threads of the engine compile meanwhile, and where there are few
 * cores they would else take the core from this one, now and in the program's first calls. A page stays awake, too.
 */
export async function warmUpSlowly(engine: Engine): Promise<void> {
  for (let round = 0; round < THOROUGH_ROUNDS && !engine.disposed; round++) {
    const begun = performance.now();
    runAll(engine, round, true);
    await new Promise((resolve) => setTimeout(resolve, performance.now() - begun));
  }
}

function runAll(engine: Engine, round: number, thorough: boolean): void {
  for (const run of runs.attention) run(engine, round, thorough);
  if (instanceOf(engine, "init").operators === undefined) return;
  for (const run of runs.operators) run(engine, round, thorough);
}

/** Has `use` work on tensors of the engine, filled with {@link warmInput}. */
export function withWarmTensors(
  engine: Engine,
  shapes: readonly (readonly number[])[],
  use: (...tensors: Tensor<"float32">[]) => void,
): void {
  const caller = "init";
  const instance = instanceOf(engine, caller);
  const residents = shapes.map((shape) => {
    const { data } = warmInput(...shape);
    const resident = new Resident(instance, "float32", shape, data.length, caller);
    instance
      .memory(caller)
      .views()
      .f32.set(data, resident.view.address >>> 2);
    return resident;
  });
  try {
    use(...residents.map((resident) => new ResidentHandle(resident) as Tensor<"float32">));
  } finally {
    for (const resident of residents) resident.dispose();
  }
}

/** Numbers from -1 to 1. */
export function warmInput(...shape: number[]): { readonly data: Float32Array; readonly shape: readonly number[] } {
  const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
  for (let i = 0; i < data.length; i++) data[i] = ((i * 7) % 33) / 16 - 1;
  return { data, shape };
}
