/**
 * What a call of attention does with a bit mask: proves that it fits, and turns it into a program for the wasm.
 */

import type { AttentionSizes, Sequences } from "../wasm/call.ts";
import type { MaskProgram } from "../wasm/program.ts";
import { compileRule, OFFSET_OF_CALL, proveRule } from "./program.ts";
import { asksForOffset, type Rule, type RuleCompiler } from "./rule.ts";
import { ruleOfSequence } from "./sequence.ts";

/** The compiler that every BitMask carries. */
export const ruleCompiler: RuleCompiler = {
  positional: (rule) => (asksForOffset(rule) ? "mask (a BitMask without a qOffset of its own)" : undefined),
  compile: (rule, sizes, qOffset, sequences, caller) =>
    sequences === undefined
      ? { program: compile(rule, sizes, qOffset, caller) }
      : { program: undefined, programs: compileEach(rule, sizes, qOffset, sequences, caller) },
};

function compile(
  rule: Rule,
  { batch, numHeads, qLen, kvLen, shard }: AttentionSizes,
  qOffset: readonly number[] | number | undefined,
  caller: string,
): MaskProgram {
  const ofCall = typeof qOffset === "object" ? OFFSET_OF_CALL : (qOffset ?? 0);
  const sizes = { batch, numHeads, qLen, kvLen, qOffset: ofCall };
  proveRule(rule, sizes, caller);
  return compileRule(rule, sizes, shard?.kvEnd);
}

/** The programs of packed sequences: numbers and bits are counted from the start of each. */
function compileEach(
  rule: Rule,
  { batch, numHeads, qLen: maxQ, kvLen: maxKv }: AttentionSizes,
  qOffset: readonly number[] | number | undefined,
  { query, key }: Sequences,
  caller: string,
): readonly MaskProgram[] {
  proveRule(rule, { batch, numHeads, qLen: maxQ, kvLen: maxKv, qOffset: 0 }, caller, true);
  return Array.from({ length: batch }, (_, s) => {
    const qLen = query[s + 1]! - query[s]!;
    const kvLen = key[s + 1]! - key[s]!;
    const offset = typeof qOffset === "object" ? qOffset[s]! : (qOffset ?? 0);
    return compileRule(ruleOfSequence(rule, s, qLen, kvLen), { batch: 1, numHeads, qLen, kvLen, qOffset: offset });
  });
}
