/** Starting other libraries, in Node.js or in a page. */
import type { Peer } from "./task.ts";

/** Starts each on one thread; one that does not start is named with its reason and left out. */
export async function startPeers(
  loaders: Readonly<Record<string, () => Promise<Peer>>>,
  say: (line: string) => void,
): Promise<Peer[]> {
  const peers: Peer[] = [];
  for (const [name, load] of Object.entries(loaders)) {
    // jax-js takes as many threads as there are cores wherever there are workers, and onnxruntime-web brings them to Node.js.
    Reflect.deleteProperty(globalThis, "Worker");
    try {
      peers.push(await load());
    } catch (error) {
      say(`SKIPPED: ${name}; ${(error as Error).message.split("\n")[0]}`);
    }
  }
  Reflect.deleteProperty(globalThis, "Worker");
  return peers;
}
