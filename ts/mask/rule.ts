/**
 * What a `BitMask` says, as a tree: which keys a query row may attend. No tree holds qLen x kvLen bytes; at most it
 * holds bits that were stored on purpose.
 */

import type { AttentionSizes, Modifiers, Sequences } from "../wasm/call.ts";

/** Where query row 0 stands among the keys; undefined: as the call says, or 0 where qLen == kvLen. */
export type RuleOffset = number | "bottom-right" | "top-left" | undefined;

/** A number per position: one list for all batch rows, or one each. */
export interface IdRows {
  /** One list after the other. */
  readonly ids: Int32Array<ArrayBuffer>;
  /** How many lists there are. */
  readonly rows: number;
  /** Numbers in a list. */
  readonly length: number;
}

/** Bits `[batch, heads, rows, columns]`, lowest first, each row padded to whole words; sizes of 1 are broadcast. */
export interface StoredBits {
  readonly words: Uint32Array<ArrayBuffer>;
  readonly shape: readonly [batch: number, heads: number, rows: number, columns: number];
}

/** A mask. */
export type Rule =
  | { readonly kind: "causal"; readonly qOffset: RuleOffset }
  | {
      readonly kind: "window";
      readonly left: number | undefined;
      readonly right: number | undefined;
      readonly qOffset: RuleOffset;
    }
  /** The first keys, by batch row. */
  | { readonly kind: "prefix"; readonly lengths: Uint32Array<ArrayBuffer> }
  | { readonly kind: "document"; readonly query: IdRows; readonly key: IdRows }
  | { readonly kind: "dilated"; readonly step: number; readonly qOffset: RuleOffset }
  | { readonly kind: "global"; readonly query: readonly number[]; readonly key: readonly number[] }
  | { readonly kind: "stored"; readonly bits: StoredBits }
  | { readonly kind: "and" | "or"; readonly left: Rule; readonly right: Rule }
  | { readonly kind: "not"; readonly of: Rule };

/** What turns rules into programs: a mask brings it along, so that a program without masks has none of it. */
export interface RuleCompiler {
  /** What stands where the call says, for messages; undefined where nothing in the rule does. */
  positional(rule: Rule): string | undefined;
  /**
   * The program of a call, or those of packed sequences.
   *
   * @param sizes - those of the call, or of the batch that the sequences would be, each padded to the longest
   * @throws RangeError `ERR_SACCADE_SHAPE` where the rule does not fit the call
   */
  compile(
    rule: Rule,
    sizes: AttentionSizes,
    qOffset: readonly number[] | number | undefined,
    sequences: Sequences | undefined,
    caller: string,
  ): Pick<Modifiers, "program" | "programs">;
}

/** A rule and what compiles it. */
export interface BoundRule {
  readonly rule: Rule;
  readonly compiler: RuleCompiler;
}

/** The brand by which the inner layers know a BitMask: its class extends this one. It cannot be forged. */
export class RuleHandle {
  readonly #bound: BoundRule;

  /** @internal */
  constructor(rule: Rule, compiler: RuleCompiler) {
    this.#bound = { rule, compiler };
  }

  /** @internal The rule of a BitMask, undefined for anything else. */
  static ruleOf(value: unknown): BoundRule | undefined {
    return typeof value === "object" && value !== null && #bound in value ? value.#bound : undefined;
  }
}

/** Every leaf of a rule. */
export function* leavesOf(rule: Rule): Generator<Rule> {
  if (rule.kind === "not") yield* leavesOf(rule.of);
  else if (rule.kind === "and" || rule.kind === "or") {
    yield* leavesOf(rule.left);
    yield* leavesOf(rule.right);
  } else yield rule;
}

/** Whether some part of a rule stands where the call says, for want of an offset of its own. */
export function asksForOffset(rule: Rule): boolean {
  for (const leaf of leavesOf(rule)) {
    if ((leaf.kind === "causal" || leaf.kind === "window" || leaf.kind === "dilated") && leaf.qOffset === undefined) {
      if (leaf.kind !== "window" || leaf.left !== undefined || leaf.right !== undefined) return true;
    }
  }
  return false;
}
