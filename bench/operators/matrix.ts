/** The matrix product, and the recurrence that is made of it. */
import { linear } from "saccade";
import { GRU, Linear } from "saccade/nn";
import type { BenchCase } from "../case.ts";
import { family, painted } from "./case.ts";
import { product, rowOf, spread, U } from "./definition.ts";

const operatorCase = family("matrix");

/** The function, or the layer, which lays its weights side by side once. */
function linearCase(rows: number, inner: number, outer: number, name = `linear-${rows}`, isLayer = false): BenchCase {
  const words = `linear, ${rows} x ${inner} x ${outer}${isLayer ? ", weights held by a layer" : ""}`;
  const work = { flops: 2 * rows * inner * outer, bytes: 4 * (rows * inner + inner * outer) };
  return operatorCase({ name, words, ...work }, () => {
    const operands = { x: painted(1, [rows, inner]), weight: painted(2, [outer, inner]) };
    return {
      operands,
      out: [rows, outer],
      task: { kind: "linear", ...operands },
      start: ({ x, weight }, options) => {
        if (!isLayer) return () => linear(x, weight, options);
        const layer = new Linear({ weight }, { engine: options.engine });
        return () => layer.forward(x, { out: options.out });
      },
      *compare(got) {
        for (const i of spread(rows)) {
          for (let o = 0; o < outer; o++) {
            const { exact, bound } = product(rowOf(operands.x, i), rowOf(operands.weight, o));
            yield [got[i * outer + o]!, exact, bound];
          }
        }
      },
    };
  });
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

function gruCase(time: number, inner: number, hidden: number): BenchCase {
  const flops = 2 * time * 3 * hidden * (inner + hidden);
  // Every step needs the whole recurrent matrix, which does not fit the first cache.
  const work = { flops, bytes: 4 * 3 * hidden * hidden, passes: time };
  return operatorCase({ name: "gru", words: `GRU, ${time} steps, ${inner} -> ${hidden}`, ...work }, () => {
    const gain = 1 / Math.sqrt(hidden);
    const operands = {
      x: painted(1, [1, time, inner]),
      ih: painted(2, [3 * hidden, inner], gain),
      hh: painted(3, [3 * hidden, hidden], gain),
      biasIh: painted(4, [3 * hidden], gain),
      biasHh: painted(5, [3 * hidden], gain),
    };
    return {
      operands,
      out: [1, time, hidden],
      start: ({ x, ih, hh, biasIh, biasHh }, { engine, out }) => {
        const weights = { weight_ih_l0: ih, weight_hh_l0: hh, bias_ih_l0: biasIh, bias_hh_l0: biasHh };
        const gru = new GRU(weights, { engine });
        return () => gru.forward(x, { out });
      },
      *compare(got) {
        const { x, ih, hh, biasIh, biasHh } = operands;
        let state: number[] = new Array(hidden).fill(0);
        // What one step may err by; the gates forget what came before it.
        let error = 0;
        for (let t = 0; t < time; t++) {
          const gate = (o: number) => {
            const a = product(rowOf(x, t), rowOf(ih, o));
            const g = product(state, rowOf(hh, o));
            const sum = [a.exact + biasIh.data[o]!, g.exact + biasHh.data[o]!] as const;
            return { a: sum[0], g: sum[1], error: a.bound + g.bound + 2 * U * (Math.abs(sum[0]) + Math.abs(sum[1])) };
          };
          const next = state.map((h, o) => {
            const [r, z, n] = [gate(o), gate(hidden + o), gate(2 * hidden + o)];
            const [reset, update] = [sigmoid(r.a + r.g), sigmoid(z.a + z.g)];
            const candidate = Math.tanh(n.a + reset * n.g);
            const candidateError = (Math.abs(n.g) * r.error) / 4 + n.error + 8 * U;
            const step = (Math.abs(candidate - h) * z.error) / 4 + (1 - update) * candidateError + 8 * U;
            error = Math.max(error, step);
            return (1 - update) * candidate + update * h;
          });
          for (let o = 0; o < hidden; o++) yield [got[t * hidden + o]!, next[o]!, error];
          state = next;
        }
      },
    };
  });
}

export const MATRIX: readonly BenchCase[] = [
  linearCase(512, 512, 512),
  linearCase(1024, 1024, 1024),
  linearCase(512, 2048, 512, "linear-512-long"),
  linearCase(2048, 512, 512),
  linearCase(1, 512, 512),
  linearCase(1, 512, 512, "linear-1-layer", true),
  linearCase(1, 4096, 4096, "linear-1-4096"),
  linearCase(1, 4096, 4096, "linear-1-4096-layer", true),
  gruCase(64, 128, 128),
];
