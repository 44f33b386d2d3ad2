/** Threads that fail, hang, die or never come: a typed error or fewer threads, never a wrong result and never a hang. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import {
  attention,
  attentionAsync,
  createEngine,
  type Engine,
  type InitOptions,
  init,
  initSync,
  SaccadeError,
  Tensor,
} from "saccade";
import { describe, expect, it } from "vitest";
import { painted } from "./painted.ts";

const good = new URL("../../dist/thread-node.js", import.meta.url);
const other = new URL("./other-thread.mjs", import.meta.url);
const worker = (how?: string, began?: SharedArrayBuffer) =>
  how === undefined ? new Worker(good) : new Worker(other, { workerData: { how, began }, execArgv: [] });

const shape = [1, 512, 4, 64];
const [query, key, value] = [1, 2, 3].map((seed) => painted(seed, shape)) as [Input, Input, Input];
type Input = ReturnType<typeof painted>;

const run = (engine: Engine) => attention(query, key, value, { engine }).out.data;
const expected = run(await createEngine());
const works = (engine: Engine) =>
  expect(Buffer.compare(Buffer.from(run(engine).buffer), Buffer.from(expected.buffer))).toBe(0);

async function withEngine(options: InitOptions, body: (engine: Engine) => unknown): Promise<void> {
  const engine = await createEngine(options);
  try {
    await body(engine);
  } finally {
    engine.dispose();
  }
}

/** Waits for a condition, which must come. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** The error of a call that fails as soon as another thread takes part in it. */
function failure(engine: Engine): unknown {
  for (let tries = 0; tries < 1000; tries++) {
    try {
      run(engine);
    } catch (error) {
      return error;
    }
  }
  return undefined;
}

describe("a thread that", () => {
  it("fails makes the call fail with ERR_SACCADE_WORKER; others take its place", async () => {
    let made = 0;
    const createWorker = () => worker(++made === 1 ? "fails" : undefined);
    await withEngine({ threads: 3, createWorker }, async (engine) => {
      const live = engine.stats().liveBytes;
      expect(failure(engine)).toMatchObject({
        code: "ERR_SACCADE_WORKER",
        message: expect.stringMatching(/^attention: thread 1 of 3 failed/),
      });
      expect(engine.stats().liveBytes).toBe(live);
      works(engine);
      await until(() => engine.stats().threads === 3);
      works(engine);
      expect(made).toBe(3);
    });
  });

  it("hangs makes the call end with ERR_SACCADE_TIMEOUT; all threads are started anew", {
    timeout: 60_000,
  }, async () => {
    let made = 0;
    const createWorker = () => worker(++made === 1 ? "hangs" : undefined);
    await withEngine({ threads: 2, createWorker }, async (engine) => {
      const tensor = Tensor.from(query, { engine });
      const error = failure(engine);
      expect(error).toBeInstanceOf(SaccadeError);
      expect(error).toMatchObject({ code: "ERR_SACCADE_TIMEOUT" });
      works(engine);
      await until(() => engine.stats().threads === 2);
      works(engine);
      expect(tensor.toPlain().data).toEqual(query.data);
      expect(made).toBe(2);
    });
  });

  it("hangs makes an asynchronous call end so too", { timeout: 60_000 }, async () => {
    let made = 0;
    const createWorker = () => worker(++made === 1 ? "hangs" : undefined);
    await withEngine({ threads: 2, createWorker }, async (engine) => {
      const live = engine.stats().liveBytes;
      let error: unknown;
      // The thread hangs once it has got a chunk, which need not be in the first call.
      for (let tries = 0; tries < 1000 && error === undefined; tries++) {
        error = await attentionAsync(query, key, value, { engine }).then(
          () => undefined,
          (reason: unknown) => reason,
        );
      }
      expect(error).toBeInstanceOf(SaccadeError);
      expect(error).toMatchObject({ code: "ERR_SACCADE_TIMEOUT" });
      works(engine);
      await until(() => engine.stats().threads === 2);
      await until(() => engine.stats().liveBytes === live);
      works(engine);
      expect(made).toBe(2);
    });
  });

  it("is killed is replaced, and nothing is lost", async () => {
    const workers: Worker[] = [];
    const createWorker = () => {
      workers.push(worker());
      return workers.at(-1)!;
    };
    await withEngine({ threads: 3, createWorker }, async (engine) => {
      works(engine);
      await workers[0]!.terminate();
      await until(() => engine.stats().threads === 2);
      works(engine);
      await until(() => engine.stats().threads === 3);
      works(engine);
      expect(workers).toHaveLength(3);
    });
  });

  it("dies in the middle of a chunk makes the call end with ERR_SACCADE_TIMEOUT; another takes its place", {
    timeout: 60_000,
  }, async () => {
    let made = 0;
    const createWorker = () => worker(++made === 1 ? "dies" : undefined);
    await withEngine({ threads: 2, createWorker }, async (engine) => {
      const live = engine.stats().liveBytes;
      const error = failure(engine);
      expect(error).toBeInstanceOf(SaccadeError);
      expect(error).toMatchObject({ code: "ERR_SACCADE_TIMEOUT" });
      works(engine);
      await until(() => engine.stats().threads === 2);
      await until(() => engine.stats().liveBytes === live);
      works(engine);
      expect(made).toBe(2);
    });
  });

  it("is killed while it computes a chunk makes an asynchronous call end so too", { timeout: 60_000 }, async () => {
    const began = new SharedArrayBuffer(4);
    const workers: Worker[] = [];
    const createWorker = () => {
      workers.push(workers.length === 0 ? worker("endures", began) : worker());
      return workers.at(-1)!;
    };
    await withEngine({ threads: 2, createWorker }, async (engine) => {
      const live = engine.stats().liveBytes;
      const hasBegun = () => Atomics.load(new Int32Array(began), 0) === 1;
      let error: unknown;
      // The thread need not get a chunk of the first call.
      for (let tries = 0; tries < 1000 && error === undefined; tries++) {
        let ended = false;
        const pending = attentionAsync(query, key, value, { engine }).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        pending.then(() => {
          ended = true;
        });
        await until(() => hasBegun() || ended);
        if (hasBegun()) await workers[0]!.terminate();
        error = await pending;
      }
      expect(error).toBeInstanceOf(SaccadeError);
      expect(error).toMatchObject({ code: "ERR_SACCADE_TIMEOUT" });
      works(engine);
      await until(() => engine.stats().threads === 2);
      await until(() => engine.stats().liveBytes === live);
      works(engine);
      expect(workers).toHaveLength(2);
    });
  });

  it("lives on after it has been ended disturbs nobody", async () => {
    const all: Worker[] = [];
    const createWorker = () => {
      const made = worker("dawdles");
      all.push(made);
      const terminate = made.terminate.bind(made);
      // As in Deno: said to be gone, and there for a while.
      return Object.assign(made, {
        terminate() {
          made.emit("exit", 1);
          setTimeout(terminate, 2000);
          return Promise.resolve(1);
        },
      });
    };
    await withEngine({ threads: 3, createWorker }, async (engine) => {
      for (let i = 0; i < 20; i++) {
        works(engine);
        await until(() => engine.stats().threads === 3);
        works(engine);
        all.at(-1)!.terminate();
      }
    });
    expect(all).toHaveLength(21);
  });

  it("does not start leaves the engine with fewer threads, and says why", async () => {
    await withEngine({ threads: 2, createWorker: () => worker("throws") }, (engine) => {
      expect(engine.stats()).toMatchObject({ threads: 1, threadsReason: "worker-error" });
      works(engine);
    });
    const createWorker = () => {
      throw new Error("no worker");
    };
    await withEngine({ threads: 2, createWorker }, (engine) => {
      expect(engine.stats()).toMatchObject({ threads: 1, threadsReason: "worker-error" });
      works(engine);
    });
  });

  it("never answers is not waited for any longer than the handshake lasts", { timeout: 60_000 }, async () => {
    await withEngine({ threads: 2, createWorker: () => worker("silent") }, (engine) => {
      expect(engine.stats()).toMatchObject({ threads: 1, threadsReason: "handshake-timeout" });
      works(engine);
    });
  });
});

describe("threads", () => {
  it("end when they have had nothing to do, and come again", async () => {
    let made = 0;
    const createWorker = () => {
      made += 1;
      return worker();
    };
    await withEngine({ threads: 3, createWorker, idleTimeoutMs: 1 }, async (engine) => {
      await until(() => engine.stats().threads === 1);
      expect(engine.stats().threadsReason).toBe("idle");
      expect(made).toBe(2);
      works(engine);
      await until(() => made === 4);
      works(engine);
    });
  });

  it("all end with the engine", async () => {
    const exits: Promise<unknown>[] = [];
    const createWorker = () => {
      const made = worker();
      exits.push(new Promise((resolve) => made.once("exit", resolve)));
      return made;
    };
    const engine = await createEngine({ threads: 4, createWorker });
    works(engine);
    engine.dispose();
    await Promise.all(exits);
    expect(exits).toHaveLength(3);
    expect(() => run(engine)).toThrow(expect.objectContaining({ code: "ERR_SACCADE_DISPOSED" }));
  });

  it("do not keep a program from ending", () => {
    const code = `import { attention, init } from "saccade";
      const engine = await init({ threads: 3 });
      const x = { data: new Float32Array(512 * 256).fill(1), shape: [1, 512, 4, 64] };
      console.log(engine.stats().threads, attention(x, x, x).out.data[0]);`;
    const root = fileURLToPath(new URL("../../", import.meta.url));
    const output = execFileSync(process.execPath, ["--input-type=module", "-e", code], { cwd: root, encoding: "utf8" });
    expect(output.trim()).toBe("3 1");
  });

  it("are not woken for a small call", async () => {
    const small = painted(1, [1, 64, 2, 64]);
    await withEngine({ threads: 2, createWorker: () => worker("fails") }, (engine) => {
      for (let i = 0; i < 500; i++) attention(small, small, small, { engine });
      expect(engine.stats().threads).toBe(2);
    });
  });

  it("see the memory grow", async () => {
    await withEngine({ threads: 3, memory: { initialMiB: 1, maximumMiB: 256 } }, (engine) => {
      const held: Tensor[] = [];
      const old = Tensor.from(query, { engine });
      const view = old.view();
      for (let i = 0; i < 12; i++) {
        works(engine);
        held.push(Tensor.zeros([1 << 20], "float32", { engine }));
      }
      expect(engine.stats().memoryBytes).toBeGreaterThan(48 << 20);
      const out = Tensor.empty(shape, "float32", { engine });
      attention(old, { data: view, shape }, value, { out, engine });
      attention(old, old, value, { out: { data: held[0]!.view().subarray(0, out.view().length), shape }, engine });
      expect(held[0]!.view().subarray(0, out.view().length)).toEqual(out.view());
      expect(out.toPlain().data.buffer).toBeInstanceOf(ArrayBuffer);
    });
  });
});

describe("asking for threads", () => {
  it("initSync refuses more than one", () => {
    expect(() => initSync({ threads: 2 as 1 })).toThrow(
      expect.objectContaining({ code: "ERR_SACCADE_UNSUPPORTED", message: expect.stringMatching(/await init\(\)/) }),
    );
  });

  it("a compiled module is refused, its bytes are taken", async () => {
    const { readFileSync } = await import("node:fs");
    const bytes = readFileSync(new URL("../../dist/saccade.strict.wasm", import.meta.url));
    await expect(createEngine({ threads: 2, module: new WebAssembly.Module(bytes) })).rejects.toMatchObject({
      code: "ERR_SACCADE_OPTION",
      message: expect.stringMatching(/bytes of the wasm file/),
    });
    await withEngine({ threads: 2, module: bytes }, works);
  });

  it('"auto" is modest, and another number later is a conflict', async () => {
    const engine = await init({ threads: "auto" });
    expect(engine.stats().threads).toBeGreaterThanOrEqual(1);
    expect(engine.stats().threads).toBeLessThanOrEqual(8);
    await expect(init({ threads: 3 })).rejects.toMatchObject({ code: "ERR_SACCADE_ALREADY_INITIALIZED" });
    expect(await init()).toBe(engine);
    engine.dispose();
  });
});
