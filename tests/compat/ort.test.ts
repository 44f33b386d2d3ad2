/**
 * onnxruntime's MultiHeadAttention and GroupQueryAttention through compat.ort. The recorded cases run always; the long
 * run installs onnxruntime in its own folder and compares on random cases.
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { init } from "saccade";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { numbersOf, type Plain, type StoredArray, tensorOf } from "./arrays.ts";
import { readCase } from "./files.ts";
import {
  compare,
  groupQueryAttentionCase,
  type Inputs,
  multiHeadAttentionCase,
  type OrtCase,
  runHere,
} from "./ort-cases.ts";
import { isInstalled, load, runThere } from "./ort-run.ts";

interface RecordedCase {
  name: string;
  op: OrtCase["op"];
  attributes: OrtCase["attributes"];
  inputs: Inputs<StoredArray>;
  outputs: { output: StoredArray } & Partial<Record<OrtCase["outputs"][number], StoredArray>>;
  rows: number[] | null;
  /** Where onnxruntime does something else than is done here. */
  differs: boolean;
}

const { SACCADE_LONG } = process.env;
const long = SACCADE_LONG === "1";
const RANDOM_CASES = 300;

const decode = <Name extends string>(stored: Partial<Record<Name, StoredArray>>) =>
  Object.fromEntries(Object.entries(stored).map(([name, array]) => [name, tensorOf(array as StoredArray)])) as Record<
    Name,
    Plain
  >;

const caseOf = ({ op, attributes, inputs, outputs, rows }: RecordedCase): OrtCase => ({
  op,
  attributes,
  inputs: decode(inputs),
  outputs: Object.keys(outputs) as OrtCase["outputs"],
  ...(rows ? { rows } : {}),
});

const recorded = readCase<RecordedCase[]>("ort/cases.json");

beforeAll(() => init());

describe("cases recorded from onnxruntime", () => {
  let largest = 0;
  for (const stored of recorded) {
    if (stored.differs) continue;
    it(`${stored.op}: ${stored.name}`, () => {
      const one = caseOf(stored);
      const error = compare(one, runHere(one), decode(stored.outputs));
      largest = Math.max(largest, error);
      expect(error, "largest error as a part of the tolerance").toBeLessThanOrEqual(1);
    });
  }

  it("differ in a row whose keys are all masked: 0 here, as if nothing were masked there", () => {
    const stored = recorded.find(({ name }) => name === "all keys masked")!;
    const one = caseOf(stored);
    expect(numbersOf(runHere(one).output!).every((value) => value === 0)).toBe(true);
    const { key_padding_mask: _, ...open } = one.inputs;
    // -10000 is added to every score, which costs some bits of them.
    const unmasked = numbersOf(runHere({ ...one, inputs: open }).output!);
    numbersOf(tensorOf(stored.outputs.output)).forEach((value, i) => {
      expect(value).toBeCloseTo(unmasked[i]!, 2);
    });
  });

  it("differ where unidirectional meets other lengths: refused here, the last row sees every key there", () => {
    const stored = recorded.find(({ name }) => name === "unidirectional, more keys than rows")!;
    const one = caseOf(stored);
    expect(() => runHere(one)).toThrow(/lets the last row see every key/);
    // The same rule as a mask of rows.
    const { query, key } = one.inputs;
    const [qLen, kvLen] = [query!.shape[1]!, key!.shape[1]!];
    const data = Int32Array.from({ length: qLen * kvLen }, (_, at) => {
      const row = Math.floor(at / kvLen);
      return Number(at % kvLen <= row || row === qLen - 1);
    });
    const masked: OrtCase = {
      ...one,
      attributes: { num_heads: one.attributes.num_heads },
      inputs: { ...one.inputs, key_padding_mask: { data, shape: [1, qLen, kvLen], dtype: "int32" } },
    };
    expect(compare(masked, runHere(masked), decode(stored.outputs))).toBeLessThanOrEqual(1);
  });

  it("are all there", () => expect(recorded.length).toBe(34));

  afterAll(() => console.log(`onnxruntime, recorded: largest error ${largest.toPrecision(3)} of the tolerance`));
});

const why = long ? "" : " (skipped: the long run, SACCADE_LONG=1, installs onnxruntime for it)";

describe.skipIf(!long)(`random cases, run by onnxruntime${why}`, () => {
  beforeAll(() => {
    if (isInstalled()) return;
    const cwd = fileURLToPath(new URL("ort/", import.meta.url));
    execFileSync("npm", ["ci", "--ignore-scripts"], { cwd, stdio: "inherit" });
  }, 600_000);

  for (const [name, make] of [
    ["MultiHeadAttention", multiHeadAttentionCase],
    ["GroupQueryAttention", groupQueryAttentionCase],
  ] as const) {
    it(name, { timeout: 600_000 }, async () => {
      const ort = load();
      let largest = 0;
      for (let seed = 1; seed <= RANDOM_CASES; seed++) {
        const one = make(seed);
        const error = compare(one, runHere(one), await runThere(ort, one));
        largest = Math.max(largest, error);
        const { attributes, inputs } = one;
        const shapes = Object.entries(inputs).map(([input, { shape }]) => `${input} [${shape}]`);
        expect(error, `seed ${seed}: ${JSON.stringify(attributes)} ${shapes.join(", ")}`).toBeLessThanOrEqual(1);
      }
      console.log(`${name}: ${RANDOM_CASES} random cases, largest error ${largest.toPrecision(3)} of the tolerance`);
    });
  }
});
