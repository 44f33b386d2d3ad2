/** Rules as the library's `BitMask`. */
import type { Rule } from "../reference/rules.mjs";
import type { Library } from "./harness.ts";

type BitMask = InstanceType<Library["BitMask"]>;

/** One list for all batch rows is given as it is, several as a list of lists. */
const lists = <T>(all: T[]): T | T[] => (all.length === 1 ? all[0]! : all);

export function bitMaskOf(library: Library, rule: Rule): BitMask {
  const { BitMask } = library;
  switch (rule.kind) {
    case "causal":
      return BitMask.causal({ qOffset: rule.offset });
    case "window": {
      const { left, right, offset } = rule;
      return BitMask.window({
        ...(left === undefined ? {} : { left }),
        ...(right === undefined ? {} : { right }),
        qOffset: offset,
      });
    }
    case "prefixLm":
      return BitMask.prefixLm({ lengths: rule.lengths, qOffset: rule.offset });
    case "document":
      return BitMask.document({ query: lists(rule.query), key: lists(rule.key) });
    case "dilated":
      return BitMask.dilated({ step: rule.step, qOffset: rule.offset });
    case "global":
      return BitMask.global({ query: rule.query, key: rule.key });
    case "stored":
      return BitMask.fromTensor({ data: rule.data, shape: rule.shape, dtype: "bool" });
    case "and":
      return bitMaskOf(library, rule.of[0]).and(bitMaskOf(library, rule.of[1]));
    case "or":
      return bitMaskOf(library, rule.of[0]).or(bitMaskOf(library, rule.of[1]));
    case "not":
      return bitMaskOf(library, rule.of[0]).not();
  }
}
