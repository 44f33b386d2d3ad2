/**
 * Attention inside a session, with a bias that lies there already.
 */

import { runAttention } from "./attention.ts";
import type { AttentionCall, Destination, Modifiers } from "./call.ts";
import type { Session, Slot } from "./operator.ts";

const NO_MODIFIERS: Modifiers = {
  softcap: undefined,
  window: undefined,
  qLengths: undefined,
  mask: undefined,
  program: undefined,
  bias: undefined,
  alibiSlopes: undefined,
  sinks: undefined,
};

const into = (target: Slot): Destination => {
  const { shape, elements, dtype } = target;
  return { shape, elements, dtype, target };
};

/** Runs a call with `bias` `[batch, numHeads, qLen, kvLen]`; its results, and all its weights where wanted, go to slots. */
export function attendWithBias(
  session: Session,
  call: AttentionCall,
  bias: Slot,
  out: Slot,
  weights: Slot | undefined,
): void {
  runAttention(session.instance, {
    ...call,
    modifiers: { ...NO_MODIFIERS, ...call.modifiers, bias },
    results: [into(out), undefined, weights && into(weights)],
    weights: weights && { kind: "full" },
  });
}
