/** The bench: the machine's roof first, then every case checked, timed in interleaved rounds and set against it. */
import { parseArgs } from "node:util";
import type { BenchCase } from "./case.ts";
import { CASES, casesLike, GROUP } from "./cases.ts";
import { COLD_CASES, type ColdCase, coldLike, coldRows } from "./cold/cold.ts";
import { arePeersInstalled, loadPeers } from "./peers/node.ts";
import { comparison } from "./report/compare.ts";
import { type Machine, machineOf } from "./report/machine.ts";
import { lastRecord, linesOf, record } from "./report/record.ts";
import { notesOf, roofText, tableOf } from "./report/table.ts";
import { measurePair } from "./roof/pair.mjs";
import { measureRoof, type Peaks } from "./roof/roof.mjs";
import { impossible } from "./rows.ts";
import { FULL, loadBuilds, loadThreaded, QUICK, type Run, run } from "./run.ts";

const HELP = `usage: npm run bench [-- options]

  --filter TEXT   only the cases whose name contains TEXT, and those they are set against;
                  "${GROUP}": all that are not attention itself
  --quick         few and short rounds
  --no-peers      ours alone, without the libraries of bench/peers
  --browser       in Chromium, on a cross-origin isolated page, instead of Node.js
  --compare       sets every row against the last record of this machine and engine
  --help          this text

The median of interleaved rounds, on one thread where no number is said; operands of ours lie in wasm memory. "x strict" and "x fast" say how
many times as long another library takes as our builds. "share" is the part of this machine's limit that is reached:
arithmetic (strict or fused), reading memory, exponentials or divisions, whichever takes longest; of two threads it is what both
give at once, in the same round. "of plain" is the time
as a part of that of the case without mask or bias (and its goal, where there is one). "error" is the largest error
against float64 on sampled rows as a share of what float32 rounding explains. A whole run is kept in bench/record/.

exit code: 0 all is well, 1 a wrong result of ours or a share above 1 (then the roof is measured wrongly), 2 bad options

cases:
${[...CASES, ...COLD_CASES].map(({ name, words }) => `  ${name.padEnd(16)}${words}`).join("\n")}`;

const RECORD = new URL("./record/", import.meta.url);

function readOptions() {
  const { values } = parseArgs({
    allowNegative: true,
    options: {
      filter: { type: "string", default: "" },
      quick: { type: "boolean", default: false },
      peers: { type: "boolean", default: true },
      compare: { type: "boolean", default: false },
      browser: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  return values;
}

/** Takes back the line on a terminal that says what is being measured. */
const ERASE = "\r\x1b[2K";

/** Milliseconds of processor time of this process. */
function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function main(): Promise<number> {
  let options: ReturnType<typeof readOptions>;
  try {
    options = readOptions();
  } catch (error) {
    console.error(`${(error as Error).message.split(/\. |\n/)[0]} (--help lists the options)`);
    return 2;
  }
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  const cold = options.browser ? [] : coldLike(options.filter);
  const named = new Set(casesLike(options.filter).map(({ name }) => name));
  const cases = CASES.filter(({ name }) => named.has(name) || cold.some(({ against }) => against.name === name));
  if (cases.length === 0) {
    const names = [...CASES, ...COLD_CASES].map(({ name }) => name);
    console.error(`no case is named like "${options.filter}"; there are ${names.join(", ")}`);
    return 2;
  }
  const measured = options.browser ? await inChromium(options) : await inNode(options, cases, cold);
  if (!measured) return 0;
  const { machine, done } = measured;
  say(tableOf(done.rows, [...cases, ...cold]));
  for (const note of notesOf(done.rows)) say(note);
  say(`roof in the rounds: ${roofText(done.peaks)}`);
  const known = done.rows.flatMap(({ disturbed }) => disturbed ?? []);
  const disturbed = known.reduce((a, b) => a + b, 0) / known.length;
  if (disturbed > 0.2) {
    const part = `${Math.round(disturbed * 100)} %`;
    say(`the machine was busy: other work had the core in ${part} of the samples, so times are too long`);
  }
  const lines = linesOf(done, machine);
  const last = lastRecord(machine, RECORD);
  if (options.compare) say(last ? comparison(lines, last) : "nothing to compare: no record of this machine and engine");
  if (!options.quick && options.filter === "" && options.peers) {
    say(`recorded in bench/record/: ${record(lines, machine, RECORD).join(", ")}`);
  }
  return verdict(done.rows);
}

type Options = ReturnType<typeof readOptions>;

/** A run, and where it took place. */
interface Measured {
  readonly machine: Machine;
  readonly done: Run;
}

const say = (line: string) => console.log(line);

function introduce({ engine, machine, cores }: Machine, roof: Peaks): void {
  say(`${engine} on ${machine}, ${cores} cores; one thread is measured, two where it is said`);
  say(`roof: ${roofText(roof)}`);
}

async function inNode(options: Options, cases: readonly BenchCase[], cold: readonly ColdCase[]): Promise<Measured> {
  const machine = machineOf();
  const roof = await measureRoof({ milliseconds: options.quick ? 300 : 600 });
  introduce(machine, roof);
  const builds = await loadBuilds(say);
  const threaded = await loadThreaded(say);
  const pair = await measurePair();
  if (pair !== null) say(`two threads at once: ${pair.sweep(300).strictGflops.toFixed(1)} GFLOP/s strict`);
  const peers = options.peers ? await loadPeers(say) : [];
  const effort = options.quick ? QUICK : FULL;
  const blocks = new Set(cases.map(({ block }) => block));
  const onBlock = (name: string, place: number) => process.stderr.write(`${ERASE}${place}/${blocks.size} ${name}`);
  const live = process.stderr.isTTY ? { onBlock } : {};
  const done = await run({ cases, builds, threaded, peers, roof, pair, effort, cpuTime, ...live });
  if (process.stderr.isTTY) process.stderr.write(ERASE);
  const first = await coldRows(cold, done.rows, options.quick ? 2 : 5);
  return { machine, done: { ...done, rows: [...done.rows, ...first] } };
}

async function inChromium(options: Options): Promise<Measured | null> {
  const peers = options.peers && arePeersInstalled(say);
  const { runInChromium } = await import("./browser/chromium.ts");
  const page = await runInChromium({ ...options, peers, say });
  if (!page) return null;
  const machine = machineOf(page.engine);
  introduce(machine, page.roof);
  return { machine, done: page.run };
}

function verdict(rows: Parameters<typeof impossible>[0]): number {
  const wrong = rows.filter(({ by, status }) => (by === "strict" || by === "fast") && status !== "ok");
  for (const row of wrong) console.error(`WRONG: ${row.case} (${row.by}) is ${row.note}`);
  const above = impossible(rows);
  for (const { case: name, by, share, limit } of above) {
    console.error(`IMPOSSIBLE: ${name} (${by}) is at ${share!.toFixed(3)} of the ${limit} limit: the probe is wrong`);
  }
  return wrong.length + above.length > 0 ? 1 : 0;
}

process.exitCode = await main();
