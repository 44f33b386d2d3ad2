/** The native portable build and the SIMD128 wasm give the same bits: at the edges of blocks, tiles and lanes. */
import { readFileSync } from "node:fs";
import * as library from "saccade";
import { createEngine } from "saccade";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { attend } from "../conformance/arrange.ts";
import { callFunction, type FunctionName, instantiate, sampleOf } from "../conformance/functions.ts";
import type { Engine } from "../conformance/harness.ts";
import { fromBits, toBits } from "../reference/functions.mjs";
import { hashOf } from "./hash.ts";
import { askNative, type NativeCase } from "./native.ts";
import { f32ToHex, f64ToHex, type Rule, word } from "./paint.ts";
import { decodeOptions, paintInputs, type Shape } from "./schema.ts";

const { SACCADE_LONG } = process.env;
const long = SACCADE_LONG === "1";

const qLens = [1, 2, 3, 4, 5, 7, 8, 9, 12, 63, 64, 65, 68, 130];
const kvLens = [
  0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 62, 63, 64, 65, 66, 72, 127, 128, 129, 191, 192, 193, 256, 257, 449,
];
const dims = [1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 31, 32, 33, 63, 64, 65, 72, 80, 127, 128, 129, 130, 192, 193];
const scales = [undefined, undefined, 0, -0.5, 1, 1 / 3, 0.125];
const softcaps = [1, 5, 30, 0.75];
const slopes = [0, 0.5, 0.25, Math.fround(1 / 3), -0.125].map(f32ToHex);
const logits = [0, -2.5, 4, 30, Math.fround(0.1), Number.NEGATIVE_INFINITY, Number.NaN].map(f32ToHex);
const gains = ["3f800000", "40800000", "3e800000"];
const heads = [
  [1, 1],
  [2, 1],
  [2, 2],
  [6, 2],
  [3, 3],
] as const;

/** Either side may be open, and the first keys may stay visible. */
const windowOf = (draw: (stream: number, count: number) => number) => ({
  ...(draw(33, 3) === 0 ? {} : { left: draw(34, 140) }),
  ...(draw(33, 3) === 1 ? {} : { right: draw(35, 70) }),
  ...(draw(37, 2) === 0 ? { first: draw(38, 70) } : {}),
});

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
      const full = [batch, numHeads, qLen, kvLen];
      const broadcast = (stream: number) => full.map((size, axis) => (draw(stream + axis, 2) === 0 ? size : 1));
      const perHead = (stream: number, values: string[]) =>
        Array.from({ length: numHeads }, (_, h) => values[draw(stream + h, values.length)]!);
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
          qOffset: each(10, offset),
          ...(draw(7, 3) === 0 ? { causal: true as const } : {}),
          ...(draw(8, 4) === 0 ? { kvLengths: each(20, (stream) => draw(stream, kvLen + 1)) } : {}),
          ...(draw(9, 6) === 0 ? { qLengths: each(24, (stream) => draw(stream, qLen + 1)) } : {}),
          ...(draw(30, 3) === 0 ? { softcap: f64ToHex(softcaps[draw(31, softcaps.length)]!) } : {}),
          ...(draw(32, 3) === 0 ? { window: windowOf(draw) } : {}),
          ...(draw(36, 3) === 0
            ? { mask: { shape: broadcast(40), keep: [26, 128, 230][draw(44, 3)]!, seed: 7 * n } }
            : {}),
          ...(draw(45, 3) === 0
            ? { bias: { shape: broadcast(50), rule, seed: 7 * n + 1, gain: gains[draw(54, gains.length)]! } }
            : {}),
          ...(draw(55, 4) === 0 ? { alibiSlopes: perHead(60, slopes) } : {}),
          ...(draw(56, 4) === 0 ? { sinks: perHead(80, logits) } : {}),
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
      const problem = { shape, ...paintInputs(shape, paint), options: decodeOptions(options) };
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
