/**
 * What a conformance case is. A case knows neither the test runner nor the platform: the library, the data files and
 * the wasm bytes are handed to it, so that Node and every browser run the very same functions.
 */
import { f32ToHex } from "../vectors/paint.ts";

export type Library = typeof import("saccade");
export type Engine = Awaited<ReturnType<Library["createEngine"]>>;
export type Build = "strict" | "fast";
export type ModuleName = "attention" | "operators";

export interface Context {
  library: Library;
  /** One engine per build, shared by all cases. */
  engine(build: Build): Promise<Engine>;
  /** The parsed JSON of a file under tests/data. */
  load(path: string): Promise<unknown>;
  /** The bytes of a module of a build; left out, that of attention. */
  wasm(build: Build, module?: ModuleName): Promise<Uint8Array<ArrayBuffer>>;
  /** Whether this engine runs the fast build at all. */
  relaxedSimd: boolean;
  /** Many more runs of every property. */
  long: boolean;
  /** Keeps the largest value seen under a name, for the report. */
  record(name: string, value: number): void;
}

export interface Case {
  name: string;
  /** The case is counted as skipped where the engine lacks this. */
  needs?: "relaxedSimd";
  run(context: Context): void | Promise<void>;
}

export function ok(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

export function equal<T>(actual: T, expected: T, what: string): void {
  if (!Object.is(actual, expected)) throw new Error(`${what} is ${String(actual)}, expected ${String(expected)}`);
}

export function sameList(actual: readonly unknown[], expected: readonly unknown[], what: string): void {
  equal(JSON.stringify(actual), JSON.stringify(expected), what);
}

/** Bit for bit, -0 unlike +0; any NaN equals any NaN. */
export function sameBits(actual: Float32Array, expected: Float32Array, what: string): void {
  equal(actual.length, expected.length, `${what}: length`);
  const a = new Uint32Array(actual.buffer, actual.byteOffset, actual.length);
  const e = new Uint32Array(expected.buffer, expected.byteOffset, expected.length);
  let differing = 0;
  let first = -1;
  for (let i = 0; i < a.length; i++) {
    if (a[i] === e[i] || (Number.isNaN(actual[i]) && Number.isNaN(expected[i]))) continue;
    if (differing === 0) first = i;
    differing++;
  }
  if (differing === 0) return;
  const show = (values: Float32Array) => `${f32ToHex(values[first]!)} (${values[first]})`;
  throw new Error(
    `${what}: ${differing} of ${a.length} values differ, first at ${first}: ${show(actual)}, expected ${show(expected)}`,
  );
}

/** The file in dist that holds a module of a build. */
export function wasmFile(build: Build, module: ModuleName = "attention"): string {
  return module === "attention" ? `saccade.${build}.wasm` : `saccade.${build}.operators.wasm`;
}

/** |actual - expected| within a tolerance everywhere; infinities must match exactly. */
export function close(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: (expected: number) => number,
  what: string,
): void {
  equal(actual.length, expected.length, `${what}: length`);
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i]!;
    const e = expected[i]!;
    if (a === e) continue;
    if (!(Math.abs(a - e) <= tolerance(e))) {
      throw new Error(`${what}[${i}] is ${a}, expected ${e} within ${tolerance(e)}`);
    }
  }
}

/** Runs `call`, which must throw an error of this class with this code; gives the error back. */
export function throws(call: () => unknown, kind: new (...args: never[]) => Error, code: string, what: string): Error {
  let error: unknown;
  try {
    call();
  } catch (thrown) {
    error = thrown;
  }
  return isRefusal(error, kind, code, what);
}

export async function rejects(
  promise: Promise<unknown>,
  kind: new (...args: never[]) => Error,
  code: string,
  what: string,
): Promise<Error> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return isRefusal(error, kind, code, what);
}

function isRefusal(error: unknown, kind: new (...args: never[]) => Error, code: string, what: string): Error {
  ok(error !== undefined, `${what}: nothing was thrown, expected ${code}`);
  ok(error instanceof Error, `${what}: ${String(error)} was thrown, which is no Error`);
  const given = (error as Error & { code?: unknown }).code;
  ok(given === code, `${what}: code is ${String(given)}, expected ${code} (${error.message})`);
  ok(error instanceof kind, `${what}: ${code} is a ${error.constructor.name}, expected ${kind.name}`);
  ok(error.message.length > 0, `${what}: ${code} says nothing`);
  return error;
}
