/**
 * Asynchronous twins: the direct function is called at once; from the moment at which it has read all its arguments, what it
 * would compute is recorded; then the record is run in slices.
 */

import { Engine } from "../engine.ts";
import { instanceFor } from "../init.ts";
import { takeControls } from "../layout/control.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import { Job } from "../wasm/job.ts";
import { isBag, recordingBag } from "./bag.ts";
import { runJob } from "./queue.ts";

/** Begins to record: called when no code of the caller's will run any more. */
export type Begin = (instance: WasmInstance) => Job;

/**
 * Records a call and runs it in its turn.
 *
 * @param options - the call's, with those that steer it
 * @param call - makes the call with the options that are left
 */
export async function recorded(
  options: unknown,
  caller: string,
  call: (rest: unknown, begin: Begin) => unknown,
): Promise<unknown> {
  const { rest, ...controls } = takeControls(options, caller);
  controls.signal?.throwIfAborted();
  let job: Job | undefined;
  let result: unknown;
  try {
    result = call(rest, (instance) => {
      job ??= new Job(instance, caller);
      job.begin();
      return job;
    });
    job?.end();
  } catch (error) {
    job?.end();
    job?.close();
    throw error;
  }
  if (job !== undefined) await runJob(job, controls);
  return result;
}

/** Calls a direct function whose options, at `args[at]`, take an engine. `caller` is its name. */
export function later(
  direct: (...args: never[]) => unknown,
  at: number,
  caller: string,
  args: readonly unknown[],
): Promise<unknown> {
  return recorded(args[at], caller, (rest, begin) => {
    const given = args.slice();
    given[at] = rest;
    // What is none is refused by the function itself.
    if (isBag(rest)) {
      const instance = instanceFor((rest as { readonly engine?: unknown } | undefined)?.engine, caller);
      given[at] = { ...rest, engine: new Engine(instance, () => begin(instance)) };
    }
    return direct(...(given as never[]));
  });
}

/** Calls a method of a layer, which knows its engine; its options, at `args[at]`, take none. */
export function laterMethod<Layer, Name extends keyof Layer & string>(
  layer: Layer,
  name: Name,
  at: number,
  caller: string,
  args: readonly unknown[],
): Promise<never> {
  return recorded(args[at], `${caller}.${name}`, (rest, begin) => {
    const given = args.slice();
    given[at] = isBag(rest) ? recordingBag(rest, begin) : rest;
    return (layer[name] as (...args: unknown[]) => unknown)(...given);
  }) as Promise<never>;
}
