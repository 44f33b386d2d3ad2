/**
 * Warming up: what a program has of calls is run beforehand, through the same functions and at sizes of real work, so that the
 * JavaScript engine has compiled both sides with its best tier when the first call comes. Each feature says how it is run
 * where the name gets its value that all its users need, in a call marked as pure: a bundler drops both together.
 */

import type { Engine } from "./engine.ts";
import type { TensorInput } from "./tensor.ts";

type Run = (engine: Engine) => void;

/** What calls attention and the cache alone, and what needs operators. */
const runs: { readonly attention: Run[]; readonly operators: Run[] } = { attention: [], operators: [] };

/** Notes how a feature is run beforehand, and gives back what the feature is made of. */
export function warmedBy<T>(user: T, run: Run, needs: keyof typeof runs = "attention"): T {
  runs[needs].push(run);
  return user;
}

/** Runs what the program has, operators only where their module is there already. Nothing of it stays in memory. */
export function warmUp(engine: Engine, hasOperators: boolean): void {
  for (const run of runs.attention) run(engine);
  if (hasOperators) for (const run of runs.operators) run(engine);
}

/** Numbers from -1 to 1. */
export function warmInput(...shape: number[]): TensorInput {
  const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
  for (let i = 0; i < data.length; i++) data[i] = ((i * 7) % 33) / 16 - 1;
  return { data, shape };
}
