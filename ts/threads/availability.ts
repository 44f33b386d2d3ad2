/**
 * Whether more than one thread can be used here, and how many are asked for: all that the core knows of threads.
 */

import { currentPlatform } from "../platform.ts";

/**
 * Why there is one thread only:
 * - `"edge-runtime"`: a host without workers (Cloudflare Workers, Vercel Edge, Fastly Compute)
 * - `"no-worker"`: there is no `Worker`
 * - `"not-cross-origin-isolated"`: a page that is not isolated may not share memory: it needs the two headers
 *   `Cross-Origin-Opener-Policy: same-origin` and `Cross-Origin-Embedder-Policy: require-corp`
 * - `"no-shared-memory"`: the engine has no `SharedArrayBuffer`, or no shared wasm memory
 * - `"csp"`: the content security policy forbids the package's worker (`worker-src 'self'` allows it); known once a
 *   worker has been refused
 */
export type ThreadsUnavailable =
  | "not-cross-origin-isolated"
  | "no-shared-memory"
  | "no-worker"
  | "csp"
  | "edge-runtime";

/** Most threads that `"auto"` stands for. */
const MOST_AUTOMATIC = 8;

interface Surroundings {
  readonly crossOriginIsolated?: boolean;
  readonly EdgeRuntime?: unknown;
  readonly fastly?: unknown;
  readonly document?: unknown;
  readonly navigator?: { readonly userAgent?: string; readonly hardwareConcurrency?: number };
}

const surroundings = globalThis as Surroundings;

let refusedByPolicy = false;

/** Remembers that the content security policy has refused a worker. */
export function noteRefusedByPolicy(): void {
  refusedByPolicy = true;
}

/** Whether it has. */
export function isRefusedByPolicy(): boolean {
  return refusedByPolicy;
}

/** Why there is one thread only; undefined where there can be more. */
export function threadsUnavailable(): ThreadsUnavailable | undefined {
  const { EdgeRuntime, fastly, navigator, crossOriginIsolated } = surroundings;
  if (EdgeRuntime !== undefined || fastly !== undefined || navigator?.userAgent === "Cloudflare-Workers") {
    return "edge-runtime";
  }
  if (currentPlatform().cores === undefined && typeof Worker !== "function") return "no-worker";
  if (crossOriginIsolated === false) return "not-cross-origin-isolated";
  if (typeof SharedArrayBuffer !== "function" || !canShareMemory()) return "no-shared-memory";
  return refusedByPolicy ? "csp" : undefined;
}

function canShareMemory(): boolean {
  try {
    const memory = new WebAssembly.Memory({ initial: 0, maximum: 1, shared: true });
    return memory.buffer instanceof SharedArrayBuffer;
  } catch {
    return false;
  }
}

/** How many threads are wanted here; the main thread of a page leaves a core to the browser. */
export function countThreads(threads: number | "auto"): number {
  if (threads !== "auto") return threads;
  const cores = currentPlatform().cores?.() ?? surroundings.navigator?.hardwareConcurrency ?? 1;
  const isPage = surroundings.document !== undefined;
  return Math.max(1, Math.min(cores, MOST_AUTOMATIC) - (isPage ? 1 : 0));
}
