/** The bench: the machine's roof first, then every case checked, timed in interleaved rounds and set against it. */
import { parseArgs } from "node:util";
import { capabilities, createEngine, type Engine } from "saccade";
import { createCacheSubject } from "./cache.ts";
import { CASES, casesLike, flopsOf } from "./cases.ts";
import { Limits } from "./limits.ts";
import { GROUP, OPERATOR_CASES, operatorRows, operatorSubjects, operatorsLike, operatorTable } from "./operators.ts";
import { installPeers } from "./peers/tfjs.ts";
import { machine, type Row, record, recordOperators, roofText, tableOf } from "./report.ts";
import { measureRoof } from "./roof/roof.mjs";
import { type Effort, timeInRounds } from "./rounds.ts";
import { createSubject } from "./subject.ts";

const HELP = `usage: npm run bench [-- options]

  --filter TEXT   only the cases whose name contains TEXT, and those they are set against;
                  "${GROUP}": all that are not attention itself
  --quick         few and short rounds
  --peers         first installs other libraries into bench/peers, to be measured in the same rounds
  --help          this text

The median of interleaved rounds, single thread, tensors resident. "share" is the part of this machine's roof that is
reached: arithmetic (strict or fused), or reading memory where that comes first; of operators also exponentials and divisions. "error" is the largest error against
float64 on sampled rows as a share of what float32 rounding explains. "of plain" is the time as a part of that of the
case without mask or bias, which the same run measures (and its goal, where there is one). A whole run is kept in bench/record/.

exit code: 0 all is well, 1 a wrong result or a share above 1 (then the roof is measured wrongly), 2 bad options

cases:
${[...CASES, ...OPERATOR_CASES].map(({ name, words }) => `  ${name.padEnd(16)}${words}`).join("\n")}`;

const FULL: Effort = { rounds: 15, warmUpMs: 250, sampleMs: 25 };
const QUICK: Effort = { rounds: 4, warmUpMs: 100, sampleMs: 8 };

function readOptions() {
  const { values } = parseArgs({
    options: {
      filter: { type: "string", default: "" },
      quick: { type: "boolean", default: false },
      peers: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  return values;
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
  const cases = casesLike(options.filter);
  const operators = operatorsLike(options.filter);
  if (cases.length + operators.length === 0) {
    const names = [...CASES, ...OPERATOR_CASES].map(({ name }) => name);
    console.error(`no case is named like "${options.filter}"; there are ${names.join(", ")}`);
    return 2;
  }
  if (options.peers) installPeers();
  const effort = options.quick ? QUICK : FULL;
  const { engine, cpu, cores } = machine();
  console.log(`${engine} on ${cpu}, ${cores} cores; one thread is measured`);
  const roof = await measureRoof({ milliseconds: options.quick ? 300 : 600 });
  console.log(`roof: ${roofText(roof)}`);

  const builds: [Row["build"], Engine][] = [["strict", await createEngine({ build: "strict" })]];
  if (capabilities().relaxedSimd) builds.push(["fast", await createEngine({ build: "fast" })]);
  else console.log("SKIPPED: the fast build; this engine has no relaxed SIMD (or hides it behind a flag)");

  const subjects = cases.flatMap((c) =>
    builds.map(([build, engine]) => ({ build, ...(c.cache ? createCacheSubject : createSubject)(c, engine) })),
  );
  const margins = subjects.map(({ of, build, margin }) => {
    const share = margin();
    if (!(share <= 1))
      console.error(`WRONG: ${of.name} (${build}) is off by ${share.toFixed(2)} times its error bound`);
    return share;
  });
  const beside = await operatorSubjects(operators, builds);
  const besideMargins = beside.map(({ of, by, margin }) => {
    const share = margin();
    if (!(share <= 1)) console.error(`WRONG: ${of.name} (${by}) is off by ${share.toFixed(2)} times its error bound`);
    return share;
  });
  if ([...margins, ...besideMargins].some((margin) => !(margin <= 1))) return 1;

  const calls = [...subjects, ...beside].map(({ call }) => call);
  const streams = operators.flatMap(({ work }) => work.bytes ?? []);
  const limits = new Limits(roof, cases, streams);
  const timings = timeInRounds(calls, effort, () => limits.measure());
  const rows = subjects.map(({ of, build }, i): Row => {
    const timing = timings[i]!;
    const limit = limits.of(of, build);
    const gflops = flopsOf(of) / timing.median / 1e6;
    const plain = subjects.findIndex((other) => other.of.name === of.against?.name && other.build === build);
    const ratio = plain < 0 ? null : timing.median / timings[plain]!.median;
    return { of, build, margin: margins[i]!, timing, gflops, roof: limit.name, share: limit.ms / timing.median, ratio };
  });
  if (rows.length > 0) console.log(tableOf(rows));
  const besideRows = operatorRows(beside, timings.slice(subjects.length), besideMargins, limits);
  if (beside.length > 0) console.log(operatorTable(besideRows.rows));
  console.log(`roof in the rounds: ${roofText(limits.peaks)}`);
  const disturbed = timings.reduce((sum, timing) => sum + timing.disturbed, 0) / timings.length;
  if (disturbed > 0.2) {
    const part = `${Math.round(disturbed * 100)} %`;
    console.log(`the machine was busy: other work had the core in ${part} of the samples, so times are too long`);
  }
  const folder = new URL("./record/", import.meta.url);
  if (!options.quick && options.filter === "") {
    console.log(`recorded in bench/record/${record(rows, limits.peaks, folder)}`);
  }
  if (!options.quick && operators.length === OPERATOR_CASES.length) {
    console.log(`recorded in bench/record/${recordOperators(besideRows.rows, limits.peaks, folder)}`);
  }
  const impossible = rows.filter(({ share }) => share > 1);
  for (const { of, build, share, roof } of impossible) {
    console.error(
      `IMPOSSIBLE: ${of.name} (${build}) is at ${share.toFixed(3)} of the ${roof} roof: the probe is wrong`,
    );
  }
  for (const name of besideRows.impossible) console.error(`IMPOSSIBLE: ${name} is above its limit: the probe is wrong`);
  return impossible.length + besideRows.impossible.length > 0 ? 1 : 0;
}

process.exitCode = await main();
