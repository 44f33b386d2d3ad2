/** Positions: tables of them, rows turned by them, biases by distance. */
import { embedding, rope, sinusoidalPositions, t5RelativeBias } from "saccade";
import type { BenchCase } from "../case.ts";
import { family, painted } from "./case.ts";
import { spread, U } from "./definition.ts";

const operatorCase = family("positions");

/** A sine and a cosine of float64: reduction and two polynomials of nine terms, 47 steps. */
const TURN = 2 * 47;

const angleOf = (position: number, i: number, dim: number): number => position * 10000 ** ((-2 * i) / dim);

function sinusoidalCase(length: number, dim: number): BenchCase {
  const named = { name: "sinusoidal", words: `sinusoidal positions, ${length} x ${dim}` };
  return operatorCase({ ...named, flops: (TURN * length * dim) / 2, bytes: 4 * length * dim }, () => ({
    operands: {},
    out: [length, dim],
    start: (_, options) => () => sinusoidalPositions(length, dim, options),
    *compare(got) {
      for (const p of spread(length, 32)) {
        for (let column = 0; column < dim; column++) {
          const angle = angleOf(p, Math.floor(column / 2), dim);
          const exact = column % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
          yield [got[p * dim + column]!, exact, U * Math.abs(exact) + 6e-15 * (1 + angle)];
        }
      }
    },
  }));
}

function ropeCase(style: "half" | "interleaved"): BenchCase {
  const [seq, heads, headDim] = [1024, 8, 64];
  const elements = seq * heads * headDim;
  const half = headDim / 2;
  const named = { name: `rope-${style}`, words: `rope, ${style}, [1, ${seq}, ${heads}, ${headDim}]` };
  return operatorCase({ ...named, flops: 3 * elements + TURN * seq * half, bytes: 4 * elements }, () => {
    const operands = { x: painted(1, [1, seq, heads, headDim]) };
    return {
      operands,
      out: operands.x.shape,
      start: ({ x }, options) => {
        return () => rope(x, { style, ...options });
      },
      *compare(got) {
        const { data } = operands.x;
        for (const row of spread(seq * heads, 64)) {
          for (let i = 0; i < half; i++) {
            const angle = angleOf(Math.floor(row / heads), i, headDim);
            const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
            const [a, b] = (style === "half" ? [i, i + half] : [2 * i, 2 * i + 1]).map((at) => row * headDim + at) as [
              number,
              number,
            ];
            const turned = (at: number, p: number, q: number) =>
              [got[at]!, p + q, 3 * U * (Math.abs(p) + Math.abs(q)) + 1e-12] as const;
            yield turned(a, data[a]! * cos, -data[b]! * sin);
            yield turned(b, data[b]! * cos, data[a]! * sin);
          }
        }
      },
    };
  });
}

function t5Case(heads: number, length: number): BenchCase {
  const [buckets, farthest] = [32, 128];
  const bucketOf = (distance: number): number => {
    const each = buckets / 2;
    const own = each / 2;
    const r = Math.abs(distance);
    const far = own + Math.floor((Math.log(r / own) / Math.log(farthest / own)) * (each - own) + 1e-9);
    return (distance > 0 ? each : 0) + (r < own ? r : Math.min(each - 1, far));
  };
  const words = `T5's relative bias, ${heads} heads x ${length} x ${length}`;
  return operatorCase({ name: "t5-bias", words, bytes: 4 * heads * length * length }, () => {
    const table = painted(1, [buckets, heads]);
    return {
      operands: { table },
      out: [heads, length, length],
      start: ({ table }, options) => {
        return () => t5RelativeBias(table, { qLen: length, kvLen: length, ...options });
      },
      *compare(got) {
        for (const row of spread(heads * length, 64)) {
          const [h, i] = [Math.floor(row / length), row % length];
          for (let j = 0; j < length; j++) {
            yield [got[row * length + j]!, table.data[bucketOf(j - i) * heads + h]!, 0];
          }
        }
      },
    };
  });
}

function embeddingCase(rows: number, dim: number, tokens: number): BenchCase {
  const words = `embedding, ${tokens} of ${rows} rows of ${dim}`;
  return operatorCase({ name: "embedding", words, bytes: 4 * tokens * dim }, () => {
    const table = painted(1, [rows, dim]);
    const data = Int32Array.from({ length: tokens }, (_, t) => (t * 2654435761) % rows);
    return {
      operands: { table },
      out: [tokens, dim],
      start: ({ table }, options) => {
        return () => embedding({ data, shape: [tokens] }, table, options);
      },
      *compare(got) {
        for (let t = 0; t < tokens; t++) {
          for (let d = 0; d < dim; d++) yield [got[t * dim + d]!, table.data[data[t]! * dim + d]!, 0];
        }
      },
    };
  });
}

export const POSITIONS: readonly BenchCase[] = [
  sinusoidalCase(1024, 512),
  ropeCase("half"),
  ropeCase("interleaved"),
  t5Case(8, 512),
  embeddingCase(8192, 256, 1024),
];
