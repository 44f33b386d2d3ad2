// Whatever takes time has an asynchronous twin: an export without one is written down, with its reason.
import { describe, expect, it } from "vitest";
import { callable, entries } from "./exports.ts";
import { withoutTwin } from "./without-twin.ts";

const names = Object.values(entries).flatMap(callable);
const twins = names.filter((name) => name.endsWith("Async"));
const others = names.filter((name) => !name.endsWith("Async"));
const listed: readonly string[] = Object.values(withoutTwin).flat();

describe("every export that can be called", () => {
  it("has a twin, or a reason to have none", () => {
    const expected = others.filter((name) => !twins.includes(`${name}Async`));
    expect([...listed].sort()).toEqual([...new Set(expected)].sort());
  });

  it("is listed once", () => {
    expect(new Set(listed).size).toBe(listed.length);
  });

  it("of which those that end in Async are twins of another", () => {
    for (const twin of twins) expect(others).toContain(twin.slice(0, -"Async".length));
    expect(twins.length).toBeGreaterThan(30);
  });
});
