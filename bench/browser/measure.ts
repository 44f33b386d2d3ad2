/** The bench inside a page: what the address asks for is measured, and left on globalThis as JSON text. */
import { casesLike } from "../cases.ts";
import type { Peer } from "../peers/task.ts";
import { measurePair } from "../roof/pair.mjs";
import { measureRoof, type Peaks } from "../roof/roof.mjs";
import { FULL, loadBuilds, loadThreaded, QUICK, type Run, run } from "../run.ts";

export interface PageReport {
  readonly done: boolean;
  /** What is being measured. */
  readonly current: string;
  /** What was left out, and why. */
  readonly lines: readonly string[];
  readonly roof?: Peaks;
  readonly run?: Omit<Run, "reads"> & { readonly reads: readonly (readonly [number, number])[] };
  /** Set when the page itself broke. */
  readonly broken?: string;
}

export async function measure(
  loadPeers: (say: (line: string) => void, threads: number) => Promise<Peer[]>,
): Promise<void> {
  let report: PageReport = { done: false, current: "the roof", lines: [] };
  const publish = (more: Partial<PageReport>) => {
    report = { ...report, ...more };
    (globalThis as unknown as { saccadeBench: string }).saccadeBench = JSON.stringify(report);
  };
  const say = (line: string) => publish({ lines: [...report.lines, line] });
  publish({});
  try {
    if (!crossOriginIsolated) throw new Error("the page is not cross-origin isolated: its clock is too coarse");
    const asked = new URLSearchParams(location.search);
    const quick = asked.has("quick");
    // On several threads: the cases that ask for them, by our engine on as many and by whoever else can.
    const threads = Number(asked.get("threads") ?? 1);
    const filtered = casesLike(asked.get("filter") ?? "");
    const cases = threads === 1 ? filtered : filtered.filter((each) => each.threaded);
    const roof = await measureRoof({ milliseconds: quick ? 300 : 600 });
    publish({ roof: { ...roof } });
    const builds = threads === 1 ? await loadBuilds(say) : [];
    const threaded = await loadThreaded(say);
    const pair = await measurePair();
    const peers = await loadPeers(say, threads);
    const done = await run({
      ...{ cases, builds, threaded, peers, roof, pair, effort: quick ? QUICK : FULL },
      onBlock: (current) => publish({ current }),
    });
    publish({ done: true, run: { ...done, reads: [...done.reads] } });
  } catch (error) {
    publish({ done: true, broken: String((error as Error)?.stack ?? error) });
  }
}
