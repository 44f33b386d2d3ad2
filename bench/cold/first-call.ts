/**
 * A process of its own: the first call of one case by one library, which is loaded and has its operands in place.
 * `node first-call.ts CASE BY HOW cold|warmed-up` prints the milliseconds.
 */
import { createEngine } from "saccade";
import type { Placed } from "../case.ts";
import { CASES } from "../cases.ts";
import type { Build } from "../limits.ts";
import { loadPeers } from "../peers/node.ts";
import { rowNameOf } from "../subjects.ts";

async function placed(name: string, by: string, how: string, state: string): Promise<Placed> {
  const prepared = CASES.find((each) => each.name === name)!.prepare();
  if (by === "strict" || by === "fast") {
    return prepared.on(await createEngine({ build: by satisfies Build, warmup: state === "warmed-up" }));
  }
  const [peer] = await loadPeers(() => {}, by.replace(/ \(.*/, ""));
  const choice = peer!.choices(prepared.task!).find((each) => rowNameOf(peer!, each) === by)!;
  return await choice.ways.find((way) => way.how === how)!.place();
}

async function timed(call: () => unknown): Promise<number> {
  const before = performance.now();
  await call();
  return performance.now() - before;
}

const { call } = await placed(...(process.argv.slice(2) as [string, string, string, string]));
// What times is compiled by timing functions that do nothing and have never been called, as has the case's own closure; what the
// last of them takes is left in: 2 to 4 microseconds.
await timed(() => {});
await timed(() => {});
console.log(await timed(call));
