/**
 * What a case of the threads' tables is: a call of an export with enough work for several threads. It knows no test
 * runner and no platform, so that Node, browsers, Deno and Bun run the same.
 */
import { paintBell } from "../../ts/self-test.ts";

export type Library = typeof import("saccade");
export type Engine = Awaited<ReturnType<Library["createEngine"]>>;

/** The package's entries that compute. */
export interface Packages {
  readonly saccade: Library;
  readonly "saccade/nn": typeof import("saccade/nn");
  readonly "saccade/vision": typeof import("saccade/vision");
}

export interface ThreadCase {
  readonly from: keyof Packages;
  /** The export, or a class and its method. */
  readonly name: string;
  /** What tells it from other cases of the same name. */
  readonly what?: string;
  /** Its result on an engine: first as the function gives it, then as its asynchronous twin does, where there is one. */
  readonly run: (packages: Packages, engine: Engine) => AsyncGenerator<unknown>;
}

type Callable = (...args: readonly unknown[]) => unknown;

/** A function's case; options come last and are given the engine. */
export function call(
  from: keyof Packages,
  name: string,
  args: (packages: Packages, engine: Engine) => readonly unknown[],
  options: (packages: Packages, engine: Engine) => object = () => ({}),
): ThreadCase {
  return {
    from,
    name,
    async *run(packages, engine) {
      const all = [...args(packages, engine), { ...options(packages, engine), engine }];
      yield* both(packages[from], name, all);
    },
  };
}

/** A method's result, and that of its twin. */
export async function* both(on: object, name: string, args: readonly unknown[]): AsyncGenerator<unknown> {
  const functions = on as Readonly<Record<string, Callable>>;
  yield functions[name]!(...args);
  const twin = `${name}Async`;
  if (twin in functions) yield await functions[twin]!(...args);
}

/** Says what a case is about. */
export function about(what: string, each: ThreadCase): ThreadCase {
  return { ...each, what };
}

const POOL = 2 ** 22;
let pool: Float32Array<ArrayBuffer> | undefined;

/** A tensor of numbers that look random and are the same every time; all lie in one array, which is painted once. */
export function paint(seed: number, ...shape: readonly number[]) {
  pool ??= paintBell(1, POOL);
  const elements = shape.reduce((product, size) => product * size, 1);
  const from = (seed * 40_009) % (POOL - elements + 1);
  return { data: pool.subarray(from, from + elements), shape };
}
