/** The native portable build and the SIMD128 wasm give the same bits: at the edges of blocks, tiles and lanes. */
import { readFileSync } from "node:fs";
import * as library from "saccade";
import { createEngine } from "saccade";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { attend, type Problem } from "../conformance/arrange.ts";
import { callFunction, type FunctionName, instantiate, sampleOf } from "../conformance/functions.ts";
import type { Engine } from "../conformance/harness.ts";
import { fromBits, toBits } from "../reference/functions.mjs";
import { hashOf } from "./hash.ts";
import { askNative, type NativeCase } from "./native.ts";
import { f64FromHex, f64ToHex, type Rule, word } from "./paint.ts";
import { paintInputs, type Shape } from "./schema.ts";

const { SACCADE_LONG } = process.env;
const long = SACCADE_LONG === "1";

const qLens = [1, 2, 3, 4, 5, 7, 8, 9, 12, 63, 64, 65, 68, 130];
const kvLens = [
  0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 62, 63, 64, 65, 66, 72, 127, 128, 129, 191, 192, 193, 256, 257, 449,
];
const dims = [1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 31, 32, 33, 63, 64, 65, 72, 80, 127, 128, 129, 130, 192, 193];
const scales = [undefined, undefined, 0, -0.5, 1, 1 / 3, 0.125];
const heads = [
  [1, 1],
  [2, 1],
  [2, 2],
  [6, 2],
  [3, 3],
] as const;

/** One case per pair of lengths; all else is drawn from the case's number, the same every time. */
function casesOf(round: number): NativeCase[] {
  return qLens.flatMap((qLen, a) =>
    kvLens.map((kvLen, b) => {
      const n = (round * qLens.length + a) * kvLens.length + b;
      const draw = (stream: number, count: number) => word(1000 + stream, n) % count;
      const batch = 1 + draw(0, 3);
      const [numHeads, numKvHeads] = heads[draw(1, heads.length)]!;
      const offset = (stream: number) => draw(stream, kvLen + 13) - 8;
      const scale = scales[draw(4, scales.length)];
      const rule: Rule = draw(5, 6) === 0 ? "poison" : "bell";
      const gain = draw(6, 8) === 0 ? "41800000" : "3f800000";
      const shape: Shape = {
        batch,
        qLen,
        kvLen,
        numHeads,
        numKvHeads,
        headDim: dims[draw(2, dims.length)]!,
        valueHeadDim: dims[draw(3, dims.length)]!,
      };
      const each = (stream: number, one: (stream: number) => number) =>
        Array.from({ length: batch }, (_, row) => one(stream + row));
      return {
        id: `${round}-q${qLen}-kv${kvLen}`,
        shape,
        paint: {
          query: { rule: "bell", seed: 3 * n, gain },
          key: { rule, seed: 3 * n + 1, gain: "3f800000" },
          value: { rule, seed: 3 * n + 2, gain: "3f800000" },
        },
        options: {
          ...(scale === undefined ? {} : { scale: f64ToHex(scale) }),
          ...(draw(7, 2) === 0 ? { causal: true as const, qOffset: each(10, offset) } : {}),
          ...(draw(8, 3) === 0 ? { kvLengths: each(20, (stream) => draw(stream, kvLen + 1)) } : {}),
        },
      };
    }),
  );
}

describe("native portable and wasm simd128", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await createEngine();
  });
  afterAll(() => engine.dispose());

  const rounds = long ? 8 : 1;
  it(`agree bit for bit in ${rounds * qLens.length * kvLens.length} painted cases`, { timeout: 600_000 }, async () => {
    const cases = Array.from({ length: rounds }, (_, round) => casesOf(round)).flat();
    const answers = await askNative(cases);
    const wrong: string[] = [];
    for (const [i, { id, shape, paint, options }] of cases.entries()) {
      const { scale, ...rest } = options;
      const problem: Problem = {
        shape,
        ...paintInputs(shape, paint),
        options: { ...rest, ...(scale === undefined ? {} : { scale: f64FromHex(scale) }) } as Problem["options"],
      };
      const { out, lse, weights } = attend(problem, { library, engine, weights: true });
      const answer = answers[i]!;
      if ((await hashOf(out)) !== answer.out_sha256) wrong.push(`${id}: out`);
      if ((await hashOf(lse)) !== answer.lse_sha256) wrong.push(`${id}: lse`);
      if ((await hashOf(weights!)) !== answer.weights_sha256) wrong.push(`${id}: weights`);
    }
    expect(wrong).toEqual([]);
  });

  it.each<FunctionName>(["exp2", "tanh"])("agree bit for bit in %s", { timeout: 600_000 }, async (name) => {
    const words = sampleOf(name, long);
    const hex = (bits: number) => bits.toString(16).padStart(8, "0");
    const [answer] = await askNative([{ id: name, function: name, bits: Array.from(words, hex) }]);
    const bytes = readFileSync(new URL("../../dist/saccade.strict.wasm", import.meta.url));
    const kernel = await instantiate(new Uint8Array(bytes));
    const output = callFunction(kernel, name, Float32Array.from(words, fromBits));
    expect(Array.from(output, (y) => hex(toBits(y)))).toEqual(answer!.bits);
  });
});
