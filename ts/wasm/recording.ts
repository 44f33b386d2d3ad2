/**
 * Whether the running call is recorded, to be run later ({@link Job}). What records calls is loaded with the asynchronous
 * twins; all that others know of it is here.
 */

import type { WasmInstance } from "./instance.ts";
import type { Job } from "./job.ts";

let recording: Job | undefined;

/** Says which job records from now on; undefined: none. */
export function setRecording(job: Job | undefined): void {
  recording = job;
}

/** The job that records the running call, if it is one of this instance. */
export function recordingOf(instance: WasmInstance): Job | undefined {
  return recording !== undefined && recording.instance === instance ? recording : undefined;
}

/** Runs what needs the results of everything before it: now, or in its turn where the call is recorded. */
export function afterwards(instance: WasmInstance, action: () => void): void {
  const job = recordingOf(instance);
  if (job === undefined) action();
  else job.after(action);
}
