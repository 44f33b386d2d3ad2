// Records, comparisons and plots, from rows made up here: no time is measured.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { changesOf, comparison } from "../../bench/report/compare.ts";
import { type Line, ROOF } from "../../bench/report/line.ts";
import { fileNameOf, type Machine } from "../../bench/report/machine.ts";
import { plotNameOf, plotOf } from "../../bench/report/plot.ts";
import { csvOf, lastRecord, linesIn, linesOf, record } from "../../bench/report/record.ts";
import { notesOf, tableOf } from "../../bench/report/table.ts";
import { impossible, type Row } from "../../bench/rows.ts";

const PEAKS = { strictGflops: 40, fusedGflops: 60, divGops: 5, expGops: 2 };
const MACHINE: Machine = { date: "2026-01-02", engine: "node 20.0.0 (v8 1)", machine: "A CPU (R) 5, big", cores: 2 };

const row = (more: Partial<Row> = {}): Row => ({
  ...{ case: "prefill", what: '4 heads, "wide"', by: "strict", version: "", how: "", threads: 1, status: "ok" },
  ...{ median: 10, p10: 9, p90: 12, calls: 30, disturbed: 0, limit: "strict", rate: 30, share: 0.75 },
  ...{ plain: "", part: null, timesStrict: 1, timesFast: null, error: 0.01, note: "" },
  ...more,
});
const peer = (more: Partial<Row> = {}) =>
  row({ by: "onnxruntime-web", version: "1.2", how: "MatMul", limit: "", rate: null, share: null, ...more });
const run = (rows: Row[]) => ({ rows, peaks: PEAKS, reads: new Map([[1024, 33.3]]) });

const folders: string[] = [];
const newFolder = () => {
  const folder = mkdtempSync(join(tmpdir(), "saccade-record-"));
  folders.push(folder);
  return pathToFileURL(`${folder}/`);
};
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

describe("a record", () => {
  const failed = peer({
    status: "failed",
    median: null,
    p10: null,
    p90: null,
    calls: 0,
    timesStrict: null,
    error: null,
  });
  const note = 'MatMul fails: integer "overflow",\nsays it';
  const lines = linesOf(run([row(), row({ by: "fast" }), { ...failed, note }]), MACHINE);

  it("is read as it was written, quotes, commas and line ends included", () => {
    expect(linesIn(csvOf(lines))).toEqual(lines);
    expect(linesIn(csvOf(lines).replaceAll(/(?<!it)\n(?!says)/g, "\r\n")).map((line) => line.what)).toEqual(
      lines.map((line) => line.what),
    );
  });

  it("has the machine's limits first, then a line a row, with empty fields where there is no number", () => {
    expect(lines.filter((line) => line.case === ROOF).map(({ limit, rate }) => [limit, rate])).toEqual([
      ...[
        ["strict", "40"],
        ["fused", "60"],
        ["exp", "2"],
        ["division", "5"],
        ["read", "33.3"],
      ],
    ]);
    expect(lines[5]).toMatchObject({
      case: "prefill",
      by: "strict",
      threads: "1",
      median_ms: "10",
      share_of_limit: "0.75",
    });
    expect(lines[7]).toMatchObject({
      status: "failed",
      median_ms: "",
      times_strict: "",
      error_share_of_bound: "",
      note,
    });
  });

  it("leaves out a limit that the engine does not have", () => {
    const without = linesOf({ ...run([]), peaks: { ...PEAKS, fusedGflops: null } }, MACHINE);
    expect(without.map(({ limit }) => limit)).toEqual(["strict", "exp", "division", "read"]);
  });

  it("that is none is refused with what is missing or where", () => {
    expect(() => linesIn("a,b\n1,2\n")).toThrow(/no column date, engine/);
    const cut = csvOf(lines).split("\n").slice(0, 3).join("\n");
    expect(() => linesIn(cut.slice(0, cut.lastIndexOf(",")))).toThrow(/line 3 of the record has \d+ fields, not \d+/);
    expect(() => linesIn("")).toThrow(/no column/);
  });

  it("is found again by machine and engine, the latest first", () => {
    const folder = newFolder();
    const later = { ...MACHINE, date: "2026-02-01" };
    const other = { ...MACHINE, date: "2026-03-01", engine: "chromium 156.0" };
    const write = (machine: Machine, median: number) =>
      record(linesOf(run([row({ median })]), machine), machine, folder);
    expect(write(MACHINE, 1)).toEqual(["2026-01-02-node-20.0.0-a-cpu-5-big.csv", "node.svg"]);
    write(later, 2);
    expect(write(other, 3)).toEqual(["2026-03-01-chromium-156.0-a-cpu-5-big.csv", "chromium.svg"]);
    expect(lastRecord(MACHINE, folder)?.at(-1)?.median_ms).toBe("2");
    expect(lastRecord(other, folder)?.at(-1)?.median_ms).toBe("3");
    expect(lastRecord({ ...MACHINE, machine: "B" }, folder)).toBeUndefined();
    write(later, 4);
    expect(lastRecord(later, folder)?.at(-1)?.median_ms).toBe("4");
  });
});

describe("a comparison", () => {
  const linesWith = (...rows: Row[]): Line[] => linesOf(run(rows), MACHINE);

  it("gives the change, and marks it where the spreads do not meet", () => {
    const before = linesWith(row(), row({ by: "fast" }), row({ case: "decode" }), row({ case: "gone" }));
    const now = linesWith(
      row({ median: 13, p10: 12.5, p90: 14 }),
      row({ by: "fast", median: 11, p10: 9.5, p90: 13 }),
      row({ case: "decode", median: 5, p10: 4, p90: 8.9 }),
      row({ case: "new" }),
    );
    const changes = changesOf(now, before);
    expect(changes.map(({ case: name, by, outside }) => [name, by, outside])).toEqual([
      ["prefill", "strict", true],
      ["prefill", "fast", false],
      ["decode", "strict", true],
    ]);
    expect(changes.map(({ percent }) => Math.round(percent))).toEqual([30, 10, -50]);
    const text = comparison(now, before);
    expect(text).toMatch(/prefill +│ strict +│ +10\.0 │ +13\.0 │ \+30\.0 % │ slower/);
    expect(text).toMatch(/prefill +│ fast .* \+10\.0 % │ +│/);
    expect(text).toMatch(/decode .* -50\.0 % │ faster/);
  });

  it("leaves out what has no time, and other numbers of threads", () => {
    const before = linesWith(row(), peer());
    expect(changesOf(linesWith(row({ threads: 2 }), peer({ median: null, status: "failed" })), before)).toEqual([]);
  });
});

describe("a table", () => {
  it("has a line a row, a failure by name, and its reason below", () => {
    const rows = [
      row(),
      peer({ timesStrict: 2.5 }),
      peer({ by: "jax-js", how: "", status: "failed", median: null, note: "no" }),
    ];
    const text = tableOf(rows, []);
    expect(text).toContain('prefill: 4 heads, "wide"');
    expect(text).toMatch(/onnxruntime-web: MatMul .* 2\.50/);
    expect(text).toMatch(/jax-js +│ failed/);
    expect(notesOf(rows)).toEqual(["prefill, jax-js: no"]);
  });

  it("tells shares above 1", () => {
    expect(impossible([row({ share: 1 }), row({ share: 1.001 }), peer()])).toEqual([row({ share: 1.001 })]);
  });
});

describe("a plot", () => {
  const lines = linesOf(
    run([
      row({ what: "4 heads & <more>" }),
      row({ by: "fast", share: 0.5, timesStrict: 0.8 }),
      peer({ by: "onnxruntime-web (past)", timesStrict: 6 }),
      peer({ by: "onnxruntime-web (whole keys)", timesStrict: 2 }),
      peer({ by: "onnxruntime-web (constants)", timesStrict: 1.5 }),
      peer({ by: "naive loop", version: "", timesStrict: 4000 }),
      row({ threads: 2, limit: "", share: null, timesStrict: 0.6 }),
      peer({ threads: 2, timesStrict: 1.1 }),
      row({ case: "ours alone", what: "left out" }),
    ]),
    MACHINE,
  );
  const svg = plotOf(lines);

  it("names machine and engines, and says in words what it shows", () => {
    expect(svg).toMatch(/^<svg [^>]*role="img" aria-labelledby="title description"/);
    expect(svg).toContain("A CPU (R) 5, big");
    expect(svg).toContain("node 20.0.0 (v8 1)");
    expect(svg).toContain("onnxruntime-web 1.2");
    expect(svg).toContain("onnxruntime-web takes 2.0 to 2.0 times as long");
    expect(svg).toContain("4 heads &#38; &#60;more&#62;");
    expect(svg).not.toContain("left out");
  });

  it("puts a mark where its number stands, inside the plot", () => {
    const marks = [...svg.matchAll(/<(circle|rect|path) [^>]*?(?:cx="|x="|d="M)([\d.]+)[^>]*><title>([^<]*)/g)];
    const found = marks.map(([, shape, x, title]) => [shape, Number(x), title] as const);
    expect(found.map(([shape, , title]) => `${shape} ${title}`)).toEqual([
      "circle Saccade strict: 0.75 of the strict limit, 10 ms",
      "circle Saccade fast: 0.5 of the strict limit, 10 ms",
      "circle Saccade fast: 0.800 times as long",
      "rect onnxruntime-web: 2.00 times as long",
      "path naive loop: 4.00e+3 times as long",
    ]);
    const [strict, fast] = found.map(([, x]) => x);
    // The panel of shares is 190 wide.
    expect(strict! - fast!).toBeCloseTo(0.25 * 190, 0);
    const width = Number(/width="(\d+)"/.exec(svg)![1]);
    for (const [, x] of found) expect(x).toBeLessThan(width);
  });

  it("has no ground of its own and no ink that is black or white", () => {
    expect(svg).not.toMatch(/#fff|#000|white|black/i);
    expect(svg).not.toMatch(/<rect x="0"/);
  });
});

describe("the records of this repository", () => {
  const folder = new URL("../../bench/record/", import.meta.url);
  const names = readdirSync(folder);

  it.each(names.filter((name) => name.endsWith(".csv")))("%s is of the form", (name) => {
    const lines = linesIn(readFileSync(new URL(name, folder), "utf8"));
    expect(lines.length).toBeGreaterThan(1);
    const [{ date, engine, machine, cores }] = lines as [Line];
    expect(fileNameOf({ date, engine, machine, cores: Number(cores) })).toBe(name);
    for (const line of lines) expect([line.date, line.engine, line.machine]).toEqual([date, engine, machine]);
    for (const { share_of_limit } of lines) expect(Number(share_of_limit)).toBeLessThanOrEqual(1);
  });

  it.each(names.filter((name) => name.endsWith(".svg")))("%s shows one of them", (name) => {
    const shown = readFileSync(new URL(name, folder), "utf8");
    const records = names.filter((each) => each.endsWith(".csv"));
    const lines = records.map((each) => linesIn(readFileSync(new URL(each, folder), "utf8")));
    const drawn = lines.filter(([first]) => plotNameOf(first!) === name).map(plotOf);
    expect(drawn).toContain(shown);
  });
});
