import { describe, expect, it } from "vitest";
import type { Context } from "./harness.ts";
import { cases, describeConformance, load } from "./node.ts";

describeConformance("conformance in Node", {}, (records) => {
  for (const [name, value] of records) console.log(`largest ${name}: ${value.toPrecision(3)}`);
});

describe("the stored vectors", () => {
  it("are all run, in both layouts", async () => {
    const file = (await load("contract/contract.json")) as { cases: unknown[] };
    const sdpa = (await load("sdpa/index.json")) as Context[];
    expect(file.cases.length).toBe(118);
    expect(sdpa.length).toBe(113);
    expect(cases.filter(({ name }) => name.startsWith("contract ")).length).toBe(2 * 118);
    expect(cases.filter(({ name }) => name.startsWith("pytorch ")).length).toBe(2 * 113);
  });
});
