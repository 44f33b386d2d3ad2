/**
 * What every refused call must leave behind: an error of the stated class, code and words, no byte lost, and an
 * engine that works.
 */
import { attention, createEngine, type Engine, init, SaccadeError } from "saccade";
import { expect } from "vitest";
import { counted } from "../worker/cases.ts";

export { counted };

type ErrorClass = typeof TypeError | typeof RangeError | typeof SaccadeError;

const CLASS_OF: Readonly<Record<string, ErrorClass>> = {
  DTYPE: TypeError,
  OPTION: TypeError,
  ARGUMENT: TypeError,
  SHAPE: RangeError,
  STRIDE: RangeError,
  RANGE: RangeError,
  OVERLAP: RangeError,
  EMPTY_ROW: RangeError,
  CACHE_FULL: RangeError,
};

/** The error that a call throws; its class must be the one that its code stands for. */
export function thrownBy(call: () => unknown): Error & { code: string } {
  let thrown: unknown;
  try {
    call();
  } catch (error) {
    thrown = error;
  }
  expect(thrown, "the call must throw").toBeInstanceOf(Error);
  const error = thrown as Error & { code: string };
  expect(error.code, error.message).toMatch(/^ERR_SACCADE_[A-Z_]+$/);
  expect(error).toBeInstanceOf(CLASS_OF[error.code.slice("ERR_SACCADE_".length)] ?? SaccadeError);
  return error;
}

/** Proves that an engine computes: one visible key gives back its value. */
export function expectWorks(engine: Engine): void {
  const value = counted(1, 1, 1, 5);
  const { out } = attention(counted(1, 1, 1, 3), counted(1, 1, 1, 3), value, { engine });
  expect([...out.data]).toEqual([...value.data]);
}

/**
 * Proves that a call is refused with a code and a message, and leaves nothing behind.
 *
 * @param code - without its prefix: `SHAPE`
 * @param message - the whole message, or a pattern
 */
export async function expectRefusal(
  call: () => unknown,
  code: string,
  message: string | RegExp,
  engine?: Engine,
): Promise<void> {
  const used = engine ?? (await init());
  const before = used.stats();
  const error = thrownBy(call);
  expect(error.code).toBe(`ERR_SACCADE_${code}`);
  if (typeof message === "string") expect(error.message).toBe(message);
  else expect(error.message).toMatch(message);
  const after = used.stats();
  expect(after.liveBytes).toBe(before.liveBytes);
  expect(after.tensors).toBe(before.tensors);
  expectWorks(used);
}

/** An engine of its own that is disposed of at the end. */
export async function withEngine<T>(
  options: Parameters<typeof createEngine>[0],
  use: (engine: Engine) => T | Promise<T>,
): Promise<T> {
  const engine = await createEngine(options);
  try {
    return await use(engine);
  } finally {
    engine.dispose();
  }
}
