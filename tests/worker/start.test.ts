// How workers of Node start and end, and what is said where they do not.
import { execFileSync } from "node:child_process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { SaccadeError } from "saccade";
import { createWorkerEngine, type WorkerEngineOptions } from "saccade/worker";
import { describe, expect, it } from "vitest";
import { counted } from "./cases.ts";
import { refusal } from "./expected.ts";

const dist = new URL("../../dist/", import.meta.url);
const host = new URL("worker-host-node.js", dist);
const script = (code: string) => new Worker(code, { eval: true });
const x = counted(2, 3);

describe("a start", () => {
  it.each<[string, WorkerEngineOptions, string, RegExp]>([
    [
      "a script that says nothing",
      { createWorker: () => script("setInterval(() => {}, 1e6)"), startTimeoutMs: 50 },
      "TIMEOUT",
      /50 ms/,
    ],
    ["a script that throws", { createWorker: () => script("throw new Error('boom')") }, "WORKER", /threw/],
    ["a script that ends", { createWorker: () => script("process.exit(7)") }, "WORKER", /code 7/],
    ["a script that is not there", { createWorker: () => new Worker(new URL("none.js", dist)) }, "WORKER", /threw/],
    [
      "a script of another version",
      {
        createWorker: () =>
          script("require('worker_threads').parentPort.postMessage({ saccade: 'hello', protocol: 0 })"),
      },
      "WORKER",
      /another version/,
    ],
    [
      "a factory that throws",
      {
        createWorker: () => {
          throw new Error("forbidden");
        },
      },
      "WORKER",
      /forbidden.*worker-src/,
    ],
    ["wasm that is none", { module: new Uint8Array(8) }, "WASM_LOAD", /no wasm file/],
    ["wasm that is not there", { module: new URL("none.wasm", dist) }, "WASM_LOAD", /none\.wasm/],
    ["wasm of the wrong kind", { module: 5 as never }, "ARGUMENT", /module/],
    ["an unknown option", { biuld: "fast" } as never, "OPTION", /"build"/],
    ["a build that is none", { build: "quick" } as never, "OPTION", /createWorkerEngine: options\.build/],
    ["a time that is none", { startTimeoutMs: 0 }, "RANGE", /startTimeoutMs/],
    ["a factory that is none", { createWorker: 5 as never }, "ARGUMENT", /createWorker/],
  ])("is refused with a reason: %s", async (_, options, code, message) => {
    await expect(createWorkerEngine(options)).rejects.toEqual(refusal(code, message));
  });

  it("errors keep their details and what caused them", async () => {
    const error = await createWorkerEngine({ module: new URL("none.wasm", dist) }).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(SaccadeError);
    const { url, hint, cause } = error as SaccadeError;
    expect([url, hint]).toEqual([new URL("none.wasm", dist).href, "is the file there?"]);
    expect(String((cause as Error).message)).toMatch(/ENOENT/);
  });

  it("takes an own worker, the fast or the strict build, and the wasm from a module, an address or a path", async () => {
    const url = new URL("saccade.strict.wasm", dist);
    for (const module of [url, fileURLToPath(url), Promise.resolve(url)]) {
      using remote = await createWorkerEngine({ module, createWorker: async () => new Worker(host) });
      expect(remote.build).toBe("strict");
      expect((await remote.linear(x, x)).shape).toEqual([2, 2]);
    }
  });

  it("stops with the signal's reason, before, while and after the worker is made", async () => {
    const reason = new Error("enough");
    await expect(createWorkerEngine({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const abort = new AbortController();
    let worker: Worker | undefined;
    const making = createWorkerEngine({
      signal: abort.signal,
      createWorker: () => {
        worker = script("setInterval(() => {}, 1e6)");
        return worker;
      },
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    const ended = new Promise((resolve) => worker!.once("exit", resolve));
    abort.abort(reason);
    await expect(making).rejects.toBe(reason);
    await ended;
  });
});

describe("a worker", () => {
  it("that is killed while it works rejects its calls, and every later one", async () => {
    let worker: Worker | undefined;
    using remote = await createWorkerEngine({
      createWorker: () => {
        worker = new Worker(host);
        return worker;
      },
    });
    const long = counted(1, 2048, 8, 64);
    const pending = [remote.attention(long, long, long), remote.linear(x, x)];
    const outcomes = Promise.allSettled(pending);
    await worker!.terminate();
    for (const outcome of await outcomes) {
      expect(outcome).toEqual({ status: "rejected", reason: refusal("WORKER", /lost/) });
    }
    await expect(remote.linear(x, x)).rejects.toEqual(refusal("WORKER", /lost/));
  });

  const run = (code: string): string =>
    execFileSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8", timeout: 20_000 });
  const entry = pathToFileURL(fileURLToPath(new URL("worker-node.js", dist))).href;

  it("that is idle lets a program end by itself; one that works is waited for", () => {
    const code = `import { createWorkerEngine } from ${JSON.stringify(entry)};
      const x = { data: new Float32Array(6), shape: [2, 3] };
      const remote = await createWorkerEngine();
      await remote.linear(x, x);
      remote.linear(x, x).then(({ shape }) => console.log(shape.join()));`;
    expect(run(code).trim()).toBe("2,2");
  });
});
