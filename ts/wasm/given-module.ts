/**
 * From what was given as `module` or `operators` (a compiled module, bytes, a response, a URL, a promise of one of these) to
 * a compiled module. A program that gives none never loads this.
 */

import { optionError, wrongKind } from "../errors.ts";
import { type BytesChange, compileBytes, compileResponse, loadUrl, type SourceReader } from "./loader.ts";

/** What can be given as `module`. */
export type WasmSource = WebAssembly.Module | BufferSource | Response | URL | string;

/** Compiles a source, which came in the option `option`; `signal` stops a download. */
export async function loadGiven(
  source: WasmSource | PromiseLike<WasmSource>,
  option: string,
  reader: SourceReader,
  signal: AbortSignal | undefined,
  change?: BytesChange,
): Promise<WebAssembly.Module> {
  const given: unknown = await source;
  if (isModule(given)) return compiledAlready(given as WebAssembly.Module, "init", option, change);
  if (isBytes(given)) return compileBytes(bytesOf(given), {}, change);
  if (typeof Response === "function" && given instanceof Response) {
    return compileResponse(given, given.url, signal, change);
  }
  if (typeof given === "string") return loadUrl(reader.toUrl?.(given) ?? given, reader, signal, change);
  if (given instanceof URL) return loadUrl(given, reader, signal, change);
  throw wrongKind("init", option, given, "a WebAssembly.Module, bytes, a Response, a URL or a string");
}

/** A module that needs no compiling, unless its bytes were to be changed first. */
export function compiledAlready(
  module: WebAssembly.Module,
  caller: string,
  option: string,
  change: BytesChange | undefined,
): WebAssembly.Module {
  if (change === undefined) return module;
  throw optionError(
    caller,
    `${option} is a compiled WebAssembly.Module, which no longer has the bytes that threads need: ` +
      "give the bytes of the wasm file, a Response or its URL, leave it out, or use threads: 1",
  );
}

/** By its tag, so that modules of another realm count too. */
export function isModule(value: unknown): boolean {
  return Object.prototype.toString.call(value) === "[object WebAssembly.Module]";
}

export function isBytes(value: unknown): value is BufferSource {
  if (ArrayBuffer.isView(value)) return true;
  const tag = Object.prototype.toString.call(value);
  return tag === "[object ArrayBuffer]" || tag === "[object SharedArrayBuffer]";
}

export function bytesOf(source: BufferSource): Uint8Array<ArrayBuffer> {
  const bytes = ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source);
  // Shared bytes could change while they are compiled, and compile() refuses them.
  return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : bytes.slice();
}
