// Where the wasm can come from, and what is said when it is not there or is something else.
import type { RequestListener } from "node:http";
import { pathToFileURL } from "node:url";
import { afterEach, describe, expect, it, vi } from "vitest";
import { fresh, rejection, served, wasmBytes, wasmModule, wasmPath, works } from "./fresh-package.ts";

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

describe("sources", () => {
  const answer: RequestListener = (_, response) =>
    response.setHeader("content-type", "application/wasm").end(wasmBytes());

  it.each<[string, () => unknown]>([
    ["a module", wasmModule],
    ["bytes", wasmBytes],
    ["an ArrayBuffer", () => wasmBytes().buffer],
    [
      "bytes in the middle of a buffer",
      () => {
        const padded = new Uint8Array(wasmBytes().length + 16);
        padded.set(wasmBytes(), 8);
        return padded.subarray(8, padded.length - 8);
      },
    ],
    [
      "a shared buffer",
      () => {
        const shared = new Uint8Array(new SharedArrayBuffer(wasmBytes().length));
        shared.set(wasmBytes());
        return shared;
      },
    ],
    ["a promise of a module", async () => wasmModule()],
    ["a file URL", () => pathToFileURL(wasmPath)],
    ["a file URL as a string", () => pathToFileURL(wasmPath).href],
    ["a path", () => wasmPath],
    ["a response", () => new Response(wasmBytes(), { headers: { "content-type": "application/wasm" } })],
    ["a response of unknown type", () => new Response(wasmBytes())],
    ["a data URL", () => `data:application/wasm;base64,${Buffer.from(wasmBytes()).toString("base64")}`],
  ])("%s", async (_, source) => {
    const saccade = await fresh();
    await saccade.init({ module: source() as WebAssembly.Module });
    works(saccade);
  });

  it("a server", () =>
    served(answer, async (url) => {
      const saccade = await fresh();
      await saccade.init({ module: url });
      works(saccade);
      const engine = await saccade.createEngine({ module: fetch(url) });
      engine.selfTest();
      engine.dispose();
    }));

  it.each<[string, RequestListener, RegExp, object]>([
    [
      "an HTML page with status 200",
      (_, response) =>
        response.setHeader("content-type", "text/html; charset=utf-8").end("<!doctype html><title>App</title>"),
      /it is an HTML page; the server answers this path with a page/,
      { status: 200, contentType: "text/html; charset=utf-8", hint: expect.stringMatching(/init\(\{ module \}\)/) },
    ],
    [
      "an HTML page that calls itself something else",
      (_, response) => response.setHeader("content-type", "text/plain").end("\n <html>"),
      /it is an HTML page/,
      { status: 200, contentType: "text/plain" },
    ],
    [
      "not found",
      (_, response) => response.writeHead(404, { "content-type": "text/plain" }).end("no"),
      /the server answered 404; is the wasm file beside the script\?/,
      { status: 404, contentType: "text/plain" },
    ],
    ["nothing", (_, response) => response.end(), /it is empty/, { status: 200 }],
    ["other bytes", (_, response) => response.end("hello"), /it is no wasm file/, { status: 200 }],
    [
      "a file that was cut off",
      (_, response) => response.setHeader("content-type", "application/wasm").end(wasmBytes().subarray(0, 999)),
      /it does not compile \(CompileError/,
      { status: 200, contentType: "application/wasm" },
    ],
    ["a connection that breaks", (request) => request.socket.destroy(), /the request failed/, {}],
  ])("%s", (_, listener, message, details) =>
    served(listener, async (url) => {
      const saccade = await fresh();
      const error = await rejection(saccade.init({ module: url }));
      expect(error).toBeInstanceOf(saccade.SaccadeError);
      expect(error.message).toMatch(message);
      expect(error).toMatchObject({ code: "ERR_SACCADE_WASM_LOAD", url, ...details });
      works(saccade);
    }),
  );

  it.each<[string, number[], RegExp]>([
    [
      "a module of someone else",
      [0, 97, 115, 109, 1, 0, 0, 0],
      /it imports no memory \(the wasm file is not one of this package's/,
    ],
  ])("%s", async (_, bytes, message) => {
    const saccade = await fresh();
    const error = await rejection(saccade.init({ module: Uint8Array.from(bytes) }));
    expect(error).toMatchObject({ code: "ERR_SACCADE_WASM_LOAD", hint: expect.stringMatching(/another version/) });
    expect(error.message).toMatch(message);
    works(saccade);
  });

  it("what is no source", async () => {
    const saccade = await fresh();
    const error = await rejection(saccade.init({ module: 7 as unknown as string }));
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toMatchObject({
      code: "ERR_SACCADE_ARGUMENT",
      message: expect.stringMatching(/options\.module is 7/),
    });
    expect(() => saccade.initSync({ module: "x" as unknown as WebAssembly.Module })).toThrow(
      /^initSync: options\.module is "x"/,
    );
  });

  it("compiling that a policy forbids", async () => {
    const saccade = await fresh();
    const forbid = function forbid(): never {
      throw new WebAssembly.CompileError("Refused to compile or instantiate WebAssembly module");
    };
    vi.spyOn(WebAssembly, "compile").mockImplementation(forbid);
    vi.spyOn(WebAssembly, "Module").mockImplementation(forbid);
    for (const error of [
      await rejection(saccade.init()),
      await rejection(Promise.resolve().then(() => saccade.initSync())),
    ]) {
      expect(error).toMatchObject({ code: "ERR_SACCADE_WASM_FORBIDDEN" });
      expect(error.message).toMatch(/script-src 'self' 'wasm-unsafe-eval'/);
    }
    vi.restoreAllMocks();
    works(saccade);
  });
});
