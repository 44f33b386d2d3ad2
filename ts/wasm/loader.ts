/**
 * From the place of a wasm file to a compiled module, with an error that says what was found instead where it is not one.
 */

import { SaccadeError, type SaccadeErrorDetails } from "../errors.ts";
import { isWasmForbidden } from "./features.ts";

/** Reads URLs that `fetch` cannot, and strings that are no URLs. */
export interface SourceReader {
  readonly toUrl?: (reference: string) => URL;
  readonly read?: (url: URL) => Promise<Uint8Array<ArrayBuffer>> | undefined;
}

const WASM_MAGIC = [0x00, 0x61, 0x73, 0x6d];

/** Changes a wasm file before it is compiled: threads need a memory import that says so. */
export type BytesChange = (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;

/** The error for a file that cannot be read. */
export function loadError(reason: string, details: SaccadeErrorDetails): SaccadeError {
  const where = details.url === undefined || details.url === "" ? "" : ` from ${details.url}`;
  const hint = details.hint === undefined ? "" : `; ${details.hint}`;
  return new SaccadeError("ERR_SACCADE_WASM_LOAD", `the wasm could not be loaded${where}: ${reason}${hint}`, details);
}

/** Compiles the file at a URL; `signal` stops the download. */
export async function loadUrl(
  url: URL | string,
  reader: SourceReader,
  signal: AbortSignal | undefined,
  change?: BytesChange,
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
    return compileBytes(bytes, { url: href }, change);
  }
  let response: Response | undefined;
  let cause: unknown;
  try {
    response = await fetch(url, { signal: signal ?? null });
  } catch (error) {
    cause = error;
  }
  return compileAnswer(href, response, cause, signal, change);
}

/** Goes on with what a request has brought: an answer, of which nothing has been read yet, or what was thrown. */
export async function compileAnswer(
  url: string,
  response: Response | undefined,
  cause: unknown,
  signal: AbortSignal | undefined,
  change: BytesChange | undefined,
): Promise<WebAssembly.Module> {
  if (signal?.aborted) throw signal.reason;
  if (response === undefined) throw loadError(`the request failed (${String(cause)})`, { url, cause });
  if (response.bodyUsed) throw compileError(cause, detailsOf(response, url));
  return compileResponse(response, url, signal, change);
}

function detailsOf({ status, headers }: Response, url: string): SaccadeErrorDetails {
  return { url, status, contentType: headers.get("content-type") ?? undefined };
}

/** Compiles bytes that `details` says the origin of. */
export async function compileBytes(
  bytes: Uint8Array<ArrayBuffer>,
  details: SaccadeErrorDetails,
  change: BytesChange | undefined,
): Promise<WebAssembly.Module> {
  assertWasm(bytes, details);
  try {
    return await WebAssembly.compile(change === undefined ? bytes : change(bytes));
  } catch (cause) {
    throw compileError(cause, details);
  }
}

/** Compiles an answer while it arrives, where it says that it is wasm. */
export async function compileResponse(
  response: Response,
  url: string,
  signal: AbortSignal | undefined,
  change: BytesChange | undefined,
): Promise<WebAssembly.Module> {
  const details = detailsOf(response, url);
  if (!response.ok) {
    throw loadError(`the server answered ${response.status}`, {
      ...details,
      hint: "is the wasm file beside the script?",
    });
  }
  const isWasm = details.contentType?.startsWith("application/wasm");
  try {
    if (change === undefined && isWasm && typeof WebAssembly.compileStreaming === "function") {
      return await WebAssembly.compileStreaming(response);
    }
    return await compileBytes(new Uint8Array(await response.arrayBuffer()), details, change);
  } catch (cause) {
    if (signal?.aborted) throw signal.reason;
    throw cause instanceof SaccadeError ? cause : compileError(cause, details);
  }
}

/** A page instead of the file is the commonest mistake: single-page servers answer every path with index.html. */
export function assertWasm(bytes: Uint8Array, details: SaccadeErrorDetails): void {
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

/** The error for bytes that do not compile. */
export function compileError(cause: unknown, details: SaccadeErrorDetails): SaccadeError {
  const forbidden = forbiddenError(cause, details);
  if (forbidden !== undefined) return forbidden;
  return loadError(`it does not compile (${String(cause)})`, { ...details, cause });
}
