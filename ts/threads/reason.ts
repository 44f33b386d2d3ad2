/** Why an engine uses fewer threads than it was asked for. */

import type { ThreadsUnavailable } from "./availability.ts";

/**
 * Beside what the surroundings lack: `"handshake-timeout"` (a worker has not answered in time; it takes part as soon as it
 * does), `"worker-error"` (a worker could not be started), `"idle"` (workers have ended for want of work; the next call
 * starts them again).
 */
export type ThreadReason = ThreadsUnavailable | "handshake-timeout" | "worker-error" | "idle";
