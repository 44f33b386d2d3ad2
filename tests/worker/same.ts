/** Whether two results, or two errors, are the same: every bit, every shape, every word. Knows no test runner. */

/** What a call came to. */
export type Outcome = { readonly value: unknown } | { readonly error: Error };

/** What a call came to, whether it throws, rejects or gives a result. */
export async function outcomeOf(call: () => unknown): Promise<Outcome> {
  try {
    return { value: await call() };
  } catch (error) {
    return { error: error as Error };
  }
}

export function sameOutcome(actual: Outcome, expected: Outcome, what: string): void {
  if ("error" in expected) {
    if (!("error" in actual))
      throw new Error(`${what}: gave a result; the direct call throws ${String(expected.error)}`);
    sameError(actual.error, expected.error, what);
  } else {
    if ("error" in actual)
      throw new Error(`${what}: rejects with ${String(actual.error)}; the direct call gives a result`);
    same(actual.value, expected.value, what);
  }
}

/** Class, code, message and details. */
export function sameError(actual: Error, expected: Error, what: string): void {
  if (actual.constructor !== expected.constructor) {
    throw new Error(`${what}: is a ${actual.constructor.name}, the direct call throws a ${expected.constructor.name}`);
  }
  const facts = (error: Error) => ({ ...error, message: error.message });
  same(facts(actual), facts(expected), what);
}

/** Plain data, compared bit by bit. */
export function same(actual: unknown, expected: unknown, what: string): void {
  if (ArrayBuffer.isView(expected)) {
    if (!ArrayBuffer.isView(actual) || actual.constructor !== expected.constructor)
      throw different(actual, expected, what);
    const [a, e] = [bytesOf(actual), bytesOf(expected)];
    if (a.length !== e.length) throw different(`${a.length} bytes`, `${e.length} bytes`, what);
    const at = firstDifference(a, e);
    if (at < e.length) throw different(`byte ${at}: ${a[at]}`, e[at], what);
    return;
  }
  if (typeof expected !== "object" || expected === null) {
    if (!Object.is(actual, expected)) throw different(actual, expected, what);
    return;
  }
  if (typeof actual !== "object" || actual === null) throw different(actual, expected, what);
  const names = Object.keys(expected).sort();
  same(Object.keys(actual).sort().join(), names.join(), `${what}: names`);
  for (const name of names) {
    same((actual as Record<string, unknown>)[name], (expected as Record<string, unknown>)[name], `${what}.${name}`);
  }
}

/** A plain loop: results are megabytes. */
function firstDifference(a: Uint8Array, e: Uint8Array): number {
  let at = 0;
  while (at < e.length && a[at] === e[at]) at++;
  return at;
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function different(actual: unknown, expected: unknown, what: string): Error {
  return new Error(`${what} is ${String(actual)}, expected ${String(expected)}`);
}
