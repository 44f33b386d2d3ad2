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

/** Compiles a source, which came in the option `option`; `signal` stops a download. */
export async function loadModule(
  source: WasmSource | PromiseLike<WasmSource>,
  option: string,
  reader: SourceReader,
  signal: AbortSignal | undefined,
): Promise<WebAssembly.Module> {
  const given: unknown = await source;
  if (isModule(given)) return given as WebAssembly.Module;
  if (isBytes(given)) return compileBytes(bytesOf(given), undefined);
  if (isResponse(given)) return compileResponse(given, given.url, signal);
  if (typeof given === "string") return loadUrl(reader.toUrl?.(given) ?? given, reader, signal);
  if (given instanceof URL) return loadUrl(given, reader, signal);
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
): WebAssembly.Module {
  if (isModule(source)) return source as WebAssembly.Module;
  if (!isBytes(source)) {
    throw new SaccadeTypeError(
      "ERR_SACCADE_ARGUMENT",
      `${caller}: ${option} is ${describe(source)}; expected a WebAssembly.Module or its bytes`,
    );
  }
  const bytes = bytesOf(source);
  assertWasm(bytes, { url });
  try {
    return new WebAssembly.Module(bytes);
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

async function loadUrl(
  url: URL | string,
  reader: SourceReader,
  signal: AbortSignal | undefined,
): Promise<WebAssembly.Module> {
  const href = String(url);
  const reading = url instanceof URL ? reader.read?.(url) : undefined;
  if (reading !== undefined) {
    let bytes: Uint8Array<ArrayBuffer>;
    try {
      bytes = await reading;
    } catch (cause) {
      throw loadError(String(cause), { url: href, cause, hint: "is the file there?" });
    }
    return compileBytes(bytes, href);
  }
  let response: Response;
  try {
    response = await fetch(url, signal === undefined ? {} : { signal });
  } catch (cause) {
    if (signal?.aborted) throw signal.reason;
    throw loadError(`the request failed (${String(cause)})`, { url: href, cause });
  }
  return compileResponse(response, href, signal);
}

async function compileResponse(
  response: Response,
  url: string,
  signal: AbortSignal | undefined,
): Promise<WebAssembly.Module> {
  const { status } = response;
  const contentType = response.headers.get("content-type") ?? undefined;
  const details = { url, status, contentType };
  if (!response.ok) {
    throw loadError(`the server answered ${status}`, { ...details, hint: "is the wasm file beside the script?" });
  }
  try {
    if (contentType?.startsWith("application/wasm") && typeof WebAssembly.compileStreaming === "function") {
      return await WebAssembly.compileStreaming(response);
    }
    const bytes = new Uint8Array(await response.arrayBuffer());
    assertWasm(bytes, details);
    return await WebAssembly.compile(bytes);
  } catch (cause) {
    if (signal?.aborted) throw signal.reason;
    throw cause instanceof SaccadeError ? cause : compileError(cause, details);
  }
}

async function compileBytes(bytes: Uint8Array<ArrayBuffer>, url: string | undefined): Promise<WebAssembly.Module> {
  assertWasm(bytes, { url });
  try {
    return await WebAssembly.compile(bytes);
  } catch (cause) {
    throw compileError(cause, { url });
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
