/**
 * Warming up: what a program has of calls is run beforehand, through the same functions. Once on almost no work, always: until a
 * function has been called, the JavaScript engine has not even compiled it, which for those of one call takes a millisecond.
 * Where it is asked for, until the engine has compiled the kernels with its best tier. Each feature says how it is run
 * where the name gets its value that all its users need, in a call marked as pure: a bundler drops both together.
 */

import { type Engine, instanceOf } from "./engine.ts";
import { ResidentHandle } from "./layout/tensor-like.ts";
import type { Tensor } from "./tensor.ts";
import { Resident } from "./wasm/resident.ts";

/** `thorough`: until the kernels are compiled with the best tier; else once, on almost no work. */
type Run = (engine: Engine, thorough: boolean) => void;

/** What calls attention and the cache alone, and what needs operators. */
const runs: { readonly attention: Run[]; readonly operators: Run[] } = { attention: [], operators: [] };

/** Notes how a feature is run beforehand, and gives back what the feature is made of. */
export function warmedBy<T>(user: T, run: Run, needs: keyof typeof runs = "attention"): T {
  runs[needs].push(run);
  return user;
}

/** Runs what the program has, operators only where their module is there already. Nothing of it stays in memory. */
export function warmUp(engine: Engine, hasOperators: boolean, thorough: boolean): void {
  for (const run of runs.attention) run(engine, thorough);
  if (hasOperators) for (const run of runs.operators) run(engine, thorough);
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
