/**
 * From whatever names the wasm (a URL, bytes, a response, a module, a promise of them) to a compiled module, with an
 * error that says what was found instead where it is not one.
 */

import { describe, SaccadeError, type SaccadeErrorDetails, SaccadeTypeError } from "../errors.ts";
import { isWasmForbidden } from "./features.ts";

/** What can be given as `module`. */
export type WasmSource = WebAssembly.Module | BufferSource | Response | URL | string;

/** Reads URLs that `fetch` cannot, and strings that are no URLs. */
export interface SourceReader {
  readonly toUrl?: (reference: string) => URL;
  readonly read?: (url: URL) => Promise<Uint8Array<ArrayBuffer>> | undefined;
}

const WASM_MAGIC = [0x00, 0x61, 0x73, 0x6d];

/** Changes a wasm file before it is compiled: threads need a memory import that says so. */
export type BytesChange = (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;

/** Compiles a source, which came in the option `option`; `signal` stops a download. */
export async function loadModule(
  source: WasmSource | PromiseLike<WasmSource>,
  option: string,
  reader: SourceReader,
  signal: AbortSignal | undefined,
  change?: BytesChange,
): Promise<WebAssembly.Module> {
  const given: unknown = await source;
  if (isModule(given)) return compiledAlready(given as WebAssembly.Module, "init", option, change);
  const { found, url } = await open(given, option, reader, signal);
  if (found instanceof Uint8Array) return compileBytes(found, url, change);
  if (change === undefined) return compileResponse(found, url ?? "", signal);
  return compileBytes(await bytesOfResponse(found, url ?? "", signal), url, change);
}

function compiledAlready(
  module: WebAssembly.Module,
  caller: string,
  option: string,
  change: BytesChange | undefined,
): WebAssembly.Module {
  if (change === undefined) return module;
  throw new SaccadeTypeError(
    "ERR_SACCADE_OPTION",
    `${caller}: ${option} is a compiled WebAssembly.Module, which no longer has the bytes that threads need: ` +
      "give the bytes of the wasm file, a Response or its URL, leave it out, or use threads: 1",
  );
}

interface Opened {
  readonly found: Uint8Array<ArrayBuffer> | Response;
  readonly url: string | undefined;
}

/** Opens a source that is no module: bytes, or an answer that is still to be read. */
async function open(
  given: unknown,
  option: string,
  reader: SourceReader,
  signal: AbortSignal | undefined,
): Promise<Opened> {
  if (isBytes(given)) return { found: bytesOf(given), url: undefined };
  if (isResponse(given)) return { found: given, url: given.url };
  if (typeof given === "string") return openUrl(reader.toUrl?.(given) ?? given, reader, signal);
  if (given instanceof URL) return openUrl(given, reader, signal);
  throw new SaccadeTypeError(
    "ERR_SACCADE_ARGUMENT",
    `init: ${option} is ${describe(given)}; expected a WebAssembly.Module, bytes, a Response, a URL or a string`,
  );
}

/** Compiles a module or bytes, which came in the option `option`, at once. */
export function loadModuleSync(
  source: unknown,
  url: string | undefined,
  caller: string,
  option: string,
  change?: BytesChange,
): WebAssembly.Module {
  if (isModule(source)) return compiledAlready(source as WebAssembly.Module, caller, option, change);
  if (!isBytes(source)) {
    throw new SaccadeTypeError(
      "ERR_SACCADE_ARGUMENT",
      `${caller}: ${option} is ${describe(source)}; expected a WebAssembly.Module or its bytes`,
    );
  }
  const bytes = bytesOf(source);
  assertWasm(bytes, { url });
  try {
    return new WebAssembly.Module(change === undefined ? bytes : change(bytes));
  } catch (cause) {
    throw compileError(cause, { url });
  }
}

async function compileBytes(
  bytes: Uint8Array<ArrayBuffer>,
  url: string | undefined,
  change: BytesChange | undefined,
): Promise<WebAssembly.Module> {
  assertWasm(bytes, { url });
  try {
    return await WebAssembly.compile(change === undefined ? bytes : change(bytes));
  } catch (cause) {
    throw compileError(cause, { url });
  }
}

/** The error for a file that cannot be read. */
export function loadError(reason: string, details: SaccadeErrorDetails): SaccadeError {
  const where = details.url === undefined || details.url === "" ? "" : ` from ${details.url}`;
  const hint = details.hint === undefined ? "" : `; ${details.hint}`;
  return new SaccadeError("ERR_SACCADE_WASM_LOAD", `the wasm could not be loaded${where}: ${reason}${hint}`, details);
}

async function openUrl(url: URL | string, reader: SourceReader, signal: AbortSignal | undefined): Promise<Opened> {
  const href = String(url);
  const reading = url instanceof URL ? reader.read?.(url) : undefined;
  if (reading !== undefined) {
    try {
      return { found: await reading, url: href };
    } catch (cause) {
      throw loadError(String(cause), { url: href, cause, hint: "is the file there?" });
    }
  }
  try {
    return { found: await fetch(url, signal === undefined ? {} : { signal }), url: href };
  } catch (cause) {
    if (signal?.aborted) throw signal.reason;
    throw loadError(`the request failed (${String(cause)})`, { url: href, cause });
  }
}

/** What an answer says of itself, or the error for one that brings no file. */
function detailsOf(response: Response, url: string): SaccadeErrorDetails {
  const { status } = response;
  const details = { url, status, contentType: response.headers.get("content-type") ?? undefined };
  if (!response.ok) {
    throw loadError(`the server answered ${status}`, { ...details, hint: "is the wasm file beside the script?" });
  }
  return details;
}

async function bytesOfResponse(
  response: Response,
  url: string,
  signal: AbortSignal | undefined,
): Promise<Uint8Array<ArrayBuffer>> {
  const details = detailsOf(response, url);
  try {
    const bytes = new Uint8Array(await response.arrayBuffer());
    assertWasm(bytes, details);
    return bytes;
  } catch (cause) {
    if (signal?.aborted) throw signal.reason;
    throw cause instanceof SaccadeError ? cause : compileError(cause, details);
  }
}

async function compileResponse(
  response: Response,
  url: string,
  signal: AbortSignal | undefined,
): Promise<WebAssembly.Module> {
  const details = detailsOf(response, url);
  try {
    if (details.contentType?.startsWith("application/wasm") && typeof WebAssembly.compileStreaming === "function") {
      return await WebAssembly.compileStreaming(response);
    }
    return await WebAssembly.compile(await bytesOfResponse(response, url, signal));
  } catch (cause) {
    if (signal?.aborted) throw signal.reason;
    throw cause instanceof SaccadeError ? cause : compileError(cause, details);
  }
}

/** A page instead of the file is the commonest mistake: single-page servers answer every path with index.html. */
function assertWasm(bytes: Uint8Array, details: SaccadeErrorDetails): void {
  if (WASM_MAGIC.every((byte, i) => bytes[i] === byte)) return;
  const start = new TextDecoder().decode(bytes.subarray(0, 64)).trimStart().toLowerCase();
  const isPage = start.startsWith("<") || details.contentType?.startsWith("text/html") === true;
  if (isPage) {
    throw loadError("it is an HTML page", {
      ...details,
      hint: "the server answers this path with a page: serve the wasm file there, or give its place as init({ module })",
    });
  }
  throw loadError(bytes.length === 0 ? "it is empty" : "it is no wasm file", details);
}

/** The error for a module that was refused where wasm may not run at all; undefined where it may. */
export function forbiddenError(cause: unknown, details: SaccadeErrorDetails): SaccadeError | undefined {
  if (!isWasmForbidden()) return undefined;
  const hint = "allow it with the content security policy script-src 'self' 'wasm-unsafe-eval'";
  return new SaccadeError("ERR_SACCADE_WASM_FORBIDDEN", `compiling wasm is forbidden here; ${hint}`, {
    ...details,
    cause,
    hint,
  });
}

function compileError(cause: unknown, details: SaccadeErrorDetails): SaccadeError {
  const forbidden = forbiddenError(cause, details);
  if (forbidden !== undefined) return forbidden;
  return loadError(`it does not compile (${String(cause)})`, { ...details, cause });
}

/** By its tag, so that modules of another realm count too. */
function isModule(value: unknown): boolean {
  return Object.prototype.toString.call(value) === "[object WebAssembly.Module]";
}

function isBytes(value: unknown): value is BufferSource {
  if (ArrayBuffer.isView(value)) return true;
  const tag = Object.prototype.toString.call(value);
  return tag === "[object ArrayBuffer]" || tag === "[object SharedArrayBuffer]";
}

function bytesOf(source: BufferSource): Uint8Array<ArrayBuffer> {
  const bytes = ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source);
  // Shared bytes could change while they are compiled, and compile() refuses them.
  return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : bytes.slice();
}

function isResponse(value: unknown): value is Response {
  return typeof Response === "function" && value instanceof Response;
}
