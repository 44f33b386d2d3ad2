// The twins of saccade/vision: the same bits, and the same words where a call is refused.
import * as vision from "saccade/vision";
import { describe, expect, it } from "vitest";
import { visionCases } from "../worker/vision-cases.ts";
import { bothEngines, expectSame } from "./engines.ts";

type Callable = (...args: unknown[]) => unknown;
const functions = new Map(Object.entries(vision)) as ReadonlyMap<string, Callable>;
const engines = bothEngines();

describe("twins over feature maps", () => {
  it("each have a case", () => {
    const names = [...functions.keys()].filter((name) => !name.endsWith("Async"));
    expect(new Set<string>(visionCases.map(({ name }) => name))).toEqual(new Set(names));
  });

  it.each(visionCases.map((each, index) => [`${each.name}, case ${index}`, each] as const))("%s", async (_, each) => {
    for (const engine of engines) {
      const call = (name: string) => () => {
        const [x, options] = each.args();
        return functions.get(name)!(x, { ...options, engine });
      };
      await expectSame(engine, call(each.name), call(`${each.name}Async`), each.name);
    }
  });
});
