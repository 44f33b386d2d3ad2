// One default engine or many: made once, refused with other options, made again after a failure. Each test takes a
// fresh copy of the package, since the default engine is the package's own state.
import type { RequestListener } from "node:http";
import { afterEach, describe, expect, it, vi } from "vitest";
import { calculates, fresh, freshBrowser, rejection, served, wasmBytes, wasmModule, works } from "./fresh-package.ts";

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

describe("the default engine", () => {
  it("is made by the first call, in Node", async () => {
    const saccade = await fresh();
    works(saccade);
    const engine = await saccade.init();
    expect(engine.stats()).toMatchObject({
      build: "strict",
      numerics: "saccade-attn-f32-v1",
      liveBytes: 0,
      tensors: 0,
    });
  });

  it("is made once: concurrent calls share one promise, later ones give the same engine", async () => {
    const saccade = await fresh();
    const first = saccade.init();
    expect(saccade.init({ build: "strict" })).toBe(first);
    const engine = await first;
    expect(saccade.init()).toBe(first);
    expect(saccade.initSync()).toBe(engine);
    works(saccade);
  });

  it("a call while init() is under way says so", async () => {
    const saccade = await fresh();
    const loading = saccade.init();
    expect(() => works(saccade)).toThrow(
      expect.objectContaining({
        code: "ERR_SACCADE_NOT_INITIALIZED",
        message: expect.stringMatching(/await the init\(\) under way/),
      }),
    );
    expect(() => saccade.initSync()).toThrow(expect.objectContaining({ code: "ERR_SACCADE_ALREADY_INITIALIZED" }));
    await loading;
    works(saccade);
  });

  it.each([
    [{ memory: { maximumMiB: 64 } }, { memory: { maximumMiB: 65 } }, "maximumMiB"],
    [{}, { memory: { initialMiB: 7 } }, "initialMiB"],
    [{}, { module: wasmModule() }, "module"],
  ])("other options are refused: %j, then %j", async (one, other, name) => {
    const saccade = await fresh();
    const pending = saccade.init(one);
    const early = await rejection(saccade.init(other));
    await pending;
    const late = await rejection(saccade.init(other));
    for (const error of [early, late]) {
      expect(error).toBeInstanceOf(saccade.SaccadeError);
      expect(error.code).toBe("ERR_SACCADE_ALREADY_INITIALIZED");
      expect(error.message).toBe(
        `init: saccade is already initialised with another ${name}; make a further engine with createEngine()`,
      );
    }
    expect(await saccade.init()).toBe(await pending);
    works(saccade);
  });

  it("build fast after strict is refused", async () => {
    const saccade = await fresh();
    saccade.initSync({ module: wasmModule() });
    expect(() => saccade.initSync({ build: "fast" })).toThrow(/already initialised with another build/);
    works(saccade);
  });

  it("a failure is forgotten, so a retry works", async () => {
    const saccade = await fresh();
    const missing = new URL("./no-such-file.wasm", import.meta.url);
    const error = await rejection(saccade.init({ module: missing }));
    expect(error).toMatchObject({ code: "ERR_SACCADE_WASM_LOAD", url: missing.href });
    expect(error.message).toMatch(/ENOENT/);
    await saccade.init();
    works(saccade);
  });

  it("can be disposed of and made anew", async () => {
    const saccade = await fresh();
    const engine = await saccade.init();
    engine.dispose();
    const next = await saccade.init({ memory: { maximumMiB: 17 } });
    expect(next).not.toBe(engine);
    works(saccade);
  });
});

describe("in a browser", () => {
  it("a call before init() says what to write", async () => {
    const saccade = await freshBrowser();
    expect(() => works(saccade)).toThrow(
      expect.objectContaining({
        code: "ERR_SACCADE_NOT_INITIALIZED",
        message: 'attention: saccade is not initialised: write `await init()` first (import { init } from "saccade")',
      }),
    );
    expect(() => saccade.Tensor.zeros([1])).toThrow(/^Tensor\.zeros: saccade is not initialised/);
    expect(() => saccade.initSync()).toThrow(/^initSync: files cannot be read synchronously here/);
    saccade.initSync({ module: wasmBytes() });
    works(saccade);
  });

  /** Answers every request with the file of its name, and keeps the names. */
  function serveFiles(): string[] {
    const asked: string[] = [];
    vi.stubGlobal("fetch", async (url: unknown) => {
      const name = String(url).replace(/^.*\/dist\//, "");
      asked.push(name);
      return new Response(wasmBytes(name), { headers: { "content-type": "application/wasm" } });
    });
    return asked;
  }

  it("init() fetches the files beside the script", async () => {
    const saccade = await freshBrowser();
    const asked = serveFiles();
    await saccade.init();
    expect(asked.sort()).toEqual(["saccade.strict.operators.wasm", "saccade.strict.wasm"]);
    works(saccade);
    calculates(saccade);
  });

  it("asks for the operators' wasm where the other one was given alone, and takes it from a later init()", async () => {
    const saccade = await freshBrowser();
    const asked = serveFiles();
    await saccade.init({ module: wasmBytes() });
    works(saccade);
    expect(() => calculates(saccade)).toThrow(
      expect.objectContaining({
        code: "ERR_SACCADE_NOT_INITIALIZED",
        message: expect.stringMatching(/^maskedSoftmax: .*give the operators' wasm beside the other one/),
      }),
    );
    const operators = wasmBytes("saccade.strict.operators.wasm");
    await saccade.init({ operators });
    calculates(saccade);
    works(saccade);
    expect(asked).toEqual([]);
  });

  it("initSync() takes both at once, and refuses a file in the other's place", async () => {
    const saccade = await freshBrowser();
    const [module, operators] = [wasmBytes(), wasmBytes("saccade.strict.operators.wasm")];
    const refuses = (options: object, message: RegExp) =>
      expect(() => saccade.initSync(options)).toThrow(
        expect.objectContaining({ code: "ERR_SACCADE_WASM_LOAD", message: expect.stringMatching(message) }),
      );
    refuses({ module: operators }, /it exports no function abi_field/);
    refuses({ module, operators: module }, /it is the module of attention/);
    refuses({ module, operators: new Uint8Array(8) }, /no wasm file/);
    expect(() => saccade.initSync({ module, operators: 7 as never })).toThrow(/options\.operators is 7; expected/);
    saccade.initSync({ module, operators });
    calculates(saccade);
  });
});

describe("options", () => {
  it.each<[object, string, RegExp]>([
    [{ moduel: 1 }, "OPTION", /^init: there is no option "moduel"; did you mean "module"\?/],
    [{ build: "fastest" }, "OPTION", /options\.build is "fastest"; expected "strict" or "fast"/],
    [
      { memory: { maximumMB: 3 } },
      "OPTION",
      /options\.memory: there is no option "maximumMB"; did you mean "maximumMiB"/,
    ],
    [{ memory: 3 }, "ARGUMENT", /options\.memory: options is 3/],
    [
      { memory: { maximumMiB: "3" } },
      "ARGUMENT",
      /options\.memory\.maximumMiB is "3"; expected an integer from 1 to 4096/,
    ],
    [{ memory: { maximumMiB: 0 } }, "RANGE", /options\.memory\.maximumMiB is 0; expected an integer from 1 to 4096/],
    [{ memory: { maximumMiB: 4097 } }, "RANGE", /maximumMiB is 4097/],
    [{ memory: { initialMiB: 1.5 } }, "RANGE", /initialMiB is 1\.5/],
    [
      { memory: { initialMiB: 8, maximumMiB: 4 } },
      "RANGE",
      /initialMiB is 8, above options\.memory\.maximumMiB, which is 4/,
    ],
    [{ threads: 0 }, "RANGE", /options\.threads is 0; expected an integer from 1 to 64, or "auto"/],
    [{ threads: 65 }, "RANGE", /options\.threads is 65/],
    [{ threads: 1.5 }, "RANGE", /options\.threads is 1\.5/],
    [{ threads: "all" }, "ARGUMENT", /options\.threads is "all"; expected an integer from 1 to 64, or "auto"/],
    [{ idleTimeoutMs: -1 }, "RANGE", /options\.idleTimeoutMs is -1; expected an integer from 0 to 2147483647/],
    [{ idleTimeoutMs: "2" }, "ARGUMENT", /options\.idleTimeoutMs is "2"; expected an integer from 0 to 2147483647/],
    [{ createWorker: {} }, "ARGUMENT", /options\.createWorker is an object; expected a function that returns a Worker/],
    [{ signal: 1 }, "ARGUMENT", /options\.signal is 1; expected an AbortSignal/],
    [{ warmup: 1 }, "ARGUMENT", /options\.warmup is 1/],
  ])("%j", async (options, code, message) => {
    const saccade = await fresh();
    for (const make of [saccade.init, saccade.createEngine]) {
      const error = await rejection(make(options));
      expect(error.code).toBe(`ERR_SACCADE_${code}`);
      expect(error.message.replace("createEngine:", "init:")).toMatch(message);
    }
    works(saccade);
  });

  it("are read once, own ones only", async () => {
    const saccade = await fresh();
    const reads: string[] = [];
    const watched = <T extends object>(options: T): T =>
      new Proxy(Object.setPrototypeOf(options, { build: "none" }), {
        get(target, name, receiver) {
          reads.push(String(name));
          return Reflect.get(target, name, receiver);
        },
      });
    await saccade.init(watched({ memory: watched({ initialMiB: 1, maximumMiB: 8 }), warmup: false }));
    expect(reads.sort()).toEqual(["initialMiB", "maximumMiB", "memory", "warmup"]);
    works(saccade);
  });

  it("threads: 1 and warmup are taken", async () => {
    const saccade = await fresh();
    const engine = await saccade.init({ threads: 1, warmup: true });
    expect(engine.stats().liveBytes).toBe(0);
  });

  it("warming up leaves nothing in memory and changes no result", async () => {
    const saccade = await fresh();
    const [cold, warm] = [
      await saccade.createEngine(),
      await saccade.createEngine({ warmup: true, operators: wasmBytes("saccade.strict.operators.wasm") }),
    ];
    expect(warm.stats()).toMatchObject({ liveBytes: 0, tensors: 0 });
    // That calls were made is seen by what they took.
    expect(warm.stats().peakBytes).toBeGreaterThan(cold.stats().peakBytes);
    const data = Float32Array.from({ length: 70 * 2 * 13 }, (_, i) => Math.sin(i * i));
    const x = { data, shape: [1, 70, 2, 13] };
    const [a, b] = [cold, warm].map((engine) => saccade.attention(x, x, x, { causal: true, engine }).out.data);
    expect(b).toEqual(a);
    warm.selfTest();
  });

  it("calls are run ahead of the first one, thoroughly on request, and not within it", async () => {
    const saccade = await fresh();
    const { Instance, instantiate } = WebAssembly;
    let calls = 0;
    const watched = ({ exports }: WebAssembly.Instance): WebAssembly.Instance => {
      const { run } = exports as { run: (...args: number[]) => number };
      const counting = (...args: number[]) => {
        calls += 1;
        return run(...args);
      };
      return { exports: { ...exports, run: counting } };
    };
    const construct = (_: unknown, [module, imports]: ConstructorParameters<typeof Instance>) =>
      watched(new Instance(module, imports));
    vi.stubGlobal(
      "WebAssembly",
      Object.assign(Object.create(WebAssembly), {
        Instance: new Proxy(Instance, { construct }),
        instantiate: async (module: WebAssembly.Module, imports: WebAssembly.Imports) =>
          watched(await instantiate(module, imports)),
      }),
    );
    const callsOf = async (act: () => unknown): Promise<number> => {
      const before = calls;
      await act();
      return calls - before;
    };
    // The known call, in phases while the arena is empty, and this one.
    const alone = await callsOf(() => works(saccade));
    const ahead = await callsOf(() => saccade.createEngine());
    expect(ahead).toBeGreaterThan(2 * alone);
    expect(await callsOf(() => saccade.createEngine({ warmup: true }))).toBeGreaterThan(3 * ahead);
  });

  it("build fast runs where relaxed SIMD is, and is refused where it is not", async () => {
    const saccade = await fresh();
    if (saccade.capabilities().relaxedSimd) {
      const engine = await saccade.init({ build: "fast" });
      expect(engine.stats()).toMatchObject({ build: "fast", numerics: "relaxed" });
      engine.selfTest();
    }
    vi.spyOn(WebAssembly, "validate").mockImplementation((bytes) => new Uint8Array(bytes as ArrayBuffer).length < 35);
    expect(saccade.capabilities()).toMatchObject({ simd: true, relaxedSimd: false });
    const error = await rejection(saccade.createEngine({ build: "fast" }));
    expect(error).toMatchObject({ code: "ERR_SACCADE_UNSUPPORTED", message: expect.stringMatching(/relaxed SIMD/) });
    vi.spyOn(WebAssembly, "validate").mockReturnValue(false);
    expect((await rejection(saccade.createEngine())).code).toBe("ERR_SACCADE_UNSUPPORTED");
  });

  it("capabilities are honest about threads", async () => {
    const { capabilities } = await fresh();
    expect(capabilities()).toEqual({
      simd: true,
      relaxedSimd: expect.any(Boolean),
      threads: { available: true },
      float16Array: "Float16Array" in globalThis,
    });
  });
});

describe("signal", () => {
  const never: RequestListener = () => {};

  it("already aborted: rejects with the reason, and a retry works", async () => {
    const saccade = await fresh();
    const reason = new Error("changed my mind");
    expect(await rejection(saccade.init({ signal: AbortSignal.abort(reason) }))).toBe(reason);
    expect(await rejection(saccade.createEngine({ signal: AbortSignal.abort(reason) }))).toBe(reason);
    works(saccade);
  });

  it("aborts a download", () =>
    served(never, async (url) => {
      const saccade = await fresh();
      for (const make of [saccade.init, saccade.createEngine]) {
        const controller = new AbortController();
        const loading = make({ module: url, signal: controller.signal });
        setTimeout(() => controller.abort("enough"), 20);
        expect(await loading.catch((reason: unknown) => reason)).toBe("enough");
      }
      await saccade.init();
      works(saccade);
    }));

  it("ends one caller's wait, not the others'", async () => {
    const saccade = await fresh();
    const controller = new AbortController();
    const patient = saccade.init();
    const hasty = saccade.init({ signal: controller.signal });
    controller.abort("enough");
    expect(await hasty.catch((reason: unknown) => reason)).toBe("enough");
    const engine = await patient;
    expect(engine.disposed).toBe(false);
    expect(await saccade.init()).toBe(engine);
    works(saccade);
  });
});

describe("the self-test", () => {
  it("notices a wasm that computes something else", async () => {
    const saccade = await fresh();
    // The lowest bit of one coefficient of exp2, halved: 3eb17219, wherever it stands.
    const bytes = wasmBytes();
    const coefficient = Buffer.from([0x19, 0x72, 0xb1, 0x3e]);
    let at = Buffer.from(bytes.buffer).indexOf(coefficient);
    expect(at).toBeGreaterThan(0);
    for (; at >= 0; at = Buffer.from(bytes.buffer).indexOf(coefficient)) bytes[at]! ^= 1;
    const error = await rejection(saccade.createEngine({ module: bytes }));
    expect(error).toMatchObject({ code: "ERR_SACCADE_SELF_TEST" });
    expect(error.message).toMatch(/^createEngine: the strict build computes another result/);
  });

  it("takes less than 5 ms", async () => {
    const { init } = await fresh();
    const engine = await init();
    const times = Array.from({ length: 5 }, () => {
      const start = performance.now();
      engine.selfTest();
      return performance.now() - start;
    });
    expect(Math.min(...times)).toBeLessThan(5);
  });
});
