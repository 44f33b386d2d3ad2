/** Everything of the package that can be called, by name: functions, classes, and the methods of classes. */
import * as saccade from "saccade";
import * as nn from "saccade/nn";
import * as vision from "saccade/vision";

/** Entries whose exports use an engine, by the name under which a worker has them. */
export const entries: Readonly<Record<"main" | "nn" | "vision", Readonly<Record<string, unknown>>>> = {
  main: saccade,
  nn,
  vision,
};

function isClass(value: unknown): value is { readonly prototype: object } {
  return typeof value === "function" && /^class\b/.test(Function.prototype.toString.call(value));
}

/** Names of own functions, getters left out. */
function functionsOf(owner: object): string[] {
  const found = Object.entries(Object.getOwnPropertyDescriptors(owner));
  return found.filter(([, { value }]) => typeof value === "function").map(([name]) => name);
}

/** `attention`, `KvCache` (its constructor), `KvCache.attend`, `KvCache.attendAsync`, … */
export function callable(entry: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(entry).flatMap(([name, value]) => {
    if (!isClass(value)) return [name];
    const methods = [...functionsOf(value), ...functionsOf(value.prototype)].filter((each) => each !== "constructor");
    return [name, ...methods.map((method) => `${name}.${method}`)];
  });
}

/** The getters of a class. */
export function gettersOf(value: unknown): string[] {
  const found = Object.entries(Object.getOwnPropertyDescriptors((value as { readonly prototype: object }).prototype));
  return found.filter(([, { get }]) => get !== undefined).map(([name]) => name);
}
