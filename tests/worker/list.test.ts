// What the package has that uses an engine, a worker has too; and nothing else.
import { createWorkerEngine, type WorkerEngine } from "saccade/worker";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CALLS, type CallName, CONSTRUCTORS, METHODS } from "../../ts/worker/functions.ts";
import { callable, entries, gettersOf } from "../async/exports.ts";
import { directOnly } from "../async/without-twin.ts";
import { counted } from "./cases.ts";
import { refusal } from "./expected.ts";
import { layerCases } from "./layer-cases.ts";

let remote: WorkerEngine;
/** One of each kind that lives in the worker, by the name of its class. */
const residents = new Map<string, object>();
beforeAll(async () => {
  remote = await createWorkerEngine();
  residents.set("Tensor", await remote.Tensor.from(counted(2, 3)));
  residents.set("KvCache", await remote.KvCache.create({ batch: 1, numKvHeads: 1, headDim: 4, capacity: 64 }));
  for (const { layer, by, args, calls } of layerCases) {
    if (calls.length === 0 || by !== undefined) continue;
    residents.set(layer, await (remote.nn[layer].create as (...args: unknown[]) => Promise<object>)(...args()));
  }
});
afterAll(() => remote.dispose());

/** Everything that uses an engine: by entry, and the twins that say so. */
const used = Object.entries(entries).flatMap(([entry, exported]) => {
  const names = callable(exported);
  const own = names.filter((name) => names.includes(`${name}Async`) || directOnly.includes(name));
  return own.map((name) => [entry, name] as const);
});

/** Whether a worker has a function, a constructor (as `create`), a static method or a method. */
function answers(entry: string, name: string): boolean {
  const space = (entry === "main" ? remote : Reflect.get(remote, entry)) as object;
  const [first, second] = name.split(".") as [string, string?];
  const isClass = residents.has(first);
  const found: unknown = Reflect.get(space, first);
  if (!isClass) return typeof found === "function";
  if (second === undefined) return "create" in (found as object);
  return second in (found as object) || second in residents.get(first)!;
}

describe("a worker", () => {
  it("answers everything that uses an engine", () => {
    expect(used.filter(([entry, name]) => !answers(entry, name))).toEqual([]);
    expect(used.length).toBeGreaterThan(50);
  });

  it("has in its handles what the direct objects say of themselves", () => {
    const classes = Object.values(entries).flatMap((exported) => Object.entries(exported));
    for (const [name, handle] of residents) {
      const [, value] = classes.find(([each]) => each === name)!;
      expect(gettersOf(value).filter((getter) => !(getter in handle))).toEqual([]);
    }
  });

  it("is asked by names of which each belongs to something", () => {
    const known = new Set(
      used.map(([entry, name]) => (entry === "main" || METHODS[name as CallName] ? name : `${entry}.${name}`)),
    );
    const engineOwn = ["stats", "selfTest"];
    expect(Object.keys(CALLS).filter((name) => !known.has(name) && !engineOwn.includes(name))).toEqual([]);
    for (const name of [...CONSTRUCTORS, ...Object.keys(METHODS)]) expect(CALLS).toHaveProperty([name]);
  });

  it("refuses what makes no sense across a boundary: a view of its memory", () => {
    const tensor = residents.get("Tensor") as { view(): never; readonly data: never };
    const foreign = refusal("FOREIGN");
    expect(() => tensor.view()).toThrow(foreign);
    expect(() => tensor.data).toThrow(foreign);
  });
});
