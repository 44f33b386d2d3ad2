/**
 * A rule as one packed sequence sees it.
 */

import type { IdRows, Rule } from "./rule.ts";

/** The rule of sequence `s`, for a call of that sequence alone: what was given per sequence is given once. */
export function ruleOfSequence(rule: Rule, s: number, qLen: number, kvLen: number): Rule {
  switch (rule.kind) {
    case "and":
    case "or":
      return {
        kind: rule.kind,
        left: ruleOfSequence(rule.left, s, qLen, kvLen),
        right: ruleOfSequence(rule.right, s, qLen, kvLen),
      };
    case "not":
      return { kind: "not", of: ruleOfSequence(rule.of, s, qLen, kvLen) };
    case "prefix": {
      const { lengths } = rule;
      return lengths.length === 1 ? rule : { kind: "prefix", lengths: lengths.subarray(s, s + 1) };
    }
    case "document":
      return { kind: "document", query: idsOfSequence(rule.query, s, qLen), key: idsOfSequence(rule.key, s, kvLen) };
    case "global": {
      const within = (indices: readonly number[], length: number): readonly number[] =>
        indices.filter((index) => index < length);
      return { kind: "global", query: within(rule.query, qLen), key: within(rule.key, kvLen) };
    }
    case "stored": {
      const { words, shape } = rule.bits;
      const [batch, heads, rows, columns] = shape;
      if (batch === 1) return rule;
      const size = heads * rows * Math.ceil(columns / 32);
      const own = words.subarray(s * size, (s + 1) * size);
      return { kind: "stored", bits: { words: own, shape: [1, heads, rows, columns] } };
    }
    default:
      return rule;
  }
}

function idsOfSequence({ ids, rows, length: whole }: IdRows, s: number, length: number): IdRows {
  const from = rows === 1 ? 0 : s * whole;
  return { ids: ids.subarray(from, from + length), rows: 1, length };
}
