/** Additive attention: `[qLen, hidden]` against `[kvLen, hidden]`, both projected, values `[kvLen, valueDim]`. */
import { additive, attentionPooling } from "saccade";
import type { BenchCase } from "../case.ts";
import { family, painted } from "./case.ts";
import { rowOf, type Scores, softmaxError, softmaxOf, spread, U, weighted } from "./definition.ts";

const operatorCase = family("additive");

const [KV_LEN, HIDDEN, VALUE_DIM] = [1024, 128, 128];

function additiveCase(name: string, qLen: number): BenchCase {
  const tangents = qLen * KV_LEN * HIDDEN;
  const words = `additive, ${qLen} ${qLen === 1 ? "query" : "queries"} x ${KV_LEN} keys x ${HIDDEN} hidden`;
  // Half a division and 3.5 additions and products a tangent, an exponential for each feature of a query or key, and the product.
  const work = {
    flops: 3.5 * tangents + 2 * qLen * KV_LEN * VALUE_DIM,
    exponentials: (qLen + KV_LEN) * HIDDEN,
    divisions: tangents / 2,
  };
  return operatorCase({ name, words, ...work, tangents }, () => {
    const operands = {
      query: painted(1, [qLen, HIDDEN]),
      key: painted(2, [KV_LEN, HIDDEN]),
      value: painted(3, [KV_LEN, VALUE_DIM]),
      v: painted(4, [HIDDEN]),
    };
    const { query, key, value, v } = operands;
    return {
      operands,
      out: [qLen, VALUE_DIM],
      start: ({ query, key, value }, options) => {
        const score = additive({ v });
        return () => attentionPooling(query, key, value, { score, ...options });
      },
      *compare(got) {
        const size = v.data.reduce((sum, x) => sum + Math.abs(x), 0);
        const segments = Math.ceil(HIDDEN / 64);
        const error = U * (8 + 2 + 2 * (Math.min(HIDDEN, 64) / 2 + segments) + 21) * size;
        for (const i of spread(qLen)) {
          const q = rowOf(query, i);
          const exact = Array.from({ length: KV_LEN }, (_, j) => {
            const k = rowOf(key, j);
            return v.data.reduce((sum, x, h) => sum + x * Math.tanh(q[h]! + k[h]!), 0);
          });
          const scores: Scores = { exact, error };
          yield* weighted(got, i * VALUE_DIM, softmaxOf(exact), (j) => rowOf(value, j), [softmaxError(scores)]);
        }
      },
      task: { kind: "additive", ...operands },
    };
  });
}

export const ADDITIVE: readonly BenchCase[] = [additiveCase("additive-128", 128), additiveCase("additive-step", 1)];
