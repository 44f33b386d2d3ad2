// The page in Chromium, with the two headers and without: its buttons compute the bits of Node, and cancel. No time is looked at.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Page } from "puppeteer-core";
import { attention } from "saccade";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bitsOf, paintRows, type ways } from "../../examples/page/ways.mjs";
import { engines } from "../browser/engines.mjs";
import { stopEverything } from "../browser/processes.mjs";
import { expectHelp, expectRefusal, ROOT, runExample } from "./run.ts";

const chromium = engines.find(({ name }) => name === "Chromium")!;
const executable = chromium.find();
const { CI } = process.env;
const required = CI === "true" || CI === "1";
const STEP_LIMIT = 60_000;

type Way = keyof typeof ways;
/** What the driver of Chromium gives, of which this test takes the page itself. */
interface Driver {
  readonly page: Page;
  open(url: string): Promise<unknown>;
  close(): Promise<void>;
}

/** Starts the example; the two addresses that it prints, and what ends it. */
async function serveExample() {
  const child = spawn(process.execPath, [join(ROOT, "examples/page/main.mjs"), "--port", "0"], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const addresses: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    addresses.push(/http:\S+$/.exec(line)![0]);
    if (addresses.length === 2) break;
  }
  return { isolated: addresses[0]!, plain: addresses[1]!, end: () => child.kill() };
}

describe.skipIf(executable === undefined && !required)("the page", { timeout: 4 * STEP_LIMIT }, () => {
  let example: Awaited<ReturnType<typeof serveExample>>;
  let driver: Driver;
  beforeAll(async () => {
    example = await serveExample();
    driver = (await chromium.start(executable!)) as unknown as Driver;
  }, 2 * STEP_LIMIT);
  afterAll(async () => {
    await driver?.close();
    example?.end();
    stopEverything();
  });

  const status = () => driver.page.$eval("#status", (element: Element) => element.textContent ?? "");
  /** Waits until the page says something that begins so. */
  const says = async (...beginnings: string[]) => {
    await driver.page.waitForFunction(
      (given: string[]) => given.some((each) => document.querySelector("#status")?.textContent?.startsWith(each)),
      { timeout: STEP_LIMIT, polling: 50 },
      beginnings,
    );
    return status();
  };
  const press = (id: Way | "cancel") => driver.page.click(`#${id}`);
  const isDisabled = (id: Way | "cancel") =>
    driver.page.$eval(`#${id}`, (button: Element) => (button as HTMLButtonElement).disabled);
  const setRows = (rows: number) =>
    driver.page.$eval(
      "#rows",
      (input: Element, value: number) => ((input as HTMLInputElement).valueAsNumber = value),
      rows,
    );

  const expected = (() => {
    const rows = paintRows(300);
    return bitsOf(attention(rows, rows, rows).out.data);
  })();

  it.each<["isolated" | "plain", Way[]]>([
    ["isolated", ["slices", "threads", "worker", "direct"]],
    ["plain", ["slices", "worker", "direct"]],
  ])("%s: every way gives the bits of Node, and can be cancelled", async (kind, usable) => {
    await driver.open(example[kind]);
    await says("ready");
    expect(await driver.page.evaluate(() => crossOriginIsolated)).toBe(kind === "isolated");
    expect(await isDisabled("threads")).toBe(kind === "plain");
    expect(await isDisabled("cancel")).toBe(true);
    for (const way of usable) {
      await setRows(300);
      await press(way);
      const told = await says("done", "failed", "cancelled");
      expect(told).toMatch(new RegExp(`^done, bits ${expected}; \\d+ ms, \\d+ frames, the longest gap [\\d.]+ ms$`));
      expect(await driver.page.$eval("#progress", (bar: Element) => (bar as HTMLProgressElement).value)).toBe(
        way === "direct" ? 0 : 1,
      );
      if (way === "direct") continue;
      // Many seconds of work, of which no more than the first pieces are done.
      await setRows(16_384);
      await press(way);
      await says("computing");
      await press("cancel");
      expect(await says("done", "failed", "cancelled")).toMatch(/^cancelled; /);
    }
  });
});

describe("what makes no sense", () => {
  it.each([["80.5"], ["65536"], ["-1"], ["web"]])("--port=%s: one line and exit code 2", (port) => {
    expectRefusal(runExample("page", `--port=${port}`), /^--port is a whole number/);
  });

  it("--help says what there is", () => {
    expectHelp(runExample("page", "--help"), ["--port", "exit code"]);
  });
});
