/**
 * Where query row 0 stands among the keys. Systems disagree on the default where qLen != kvLen, so there is none.
 */

import { optionError, type SaccadeTypeError } from "../errors.ts";
import type { AttentionSizes, Sequences } from "../wasm/call.ts";
import type { CapturedAttention } from "./captured-attention.ts";

/** The first option of a call by which positions matter, as messages call it. */
function positionalOption({ causal, window, alibiSlopes, rule }: CapturedAttention): string | undefined {
  if (causal) return "causal";
  if (window !== undefined && (window.left !== undefined || window.right !== undefined)) return "window";
  if (alibiSlopes !== undefined) return "alibiSlopes";
  return rule?.compiler.positional(rule.rule);
}

function missing(option: string, qLen: number, kvLen: number, where: string, caller: string): SaccadeTypeError {
  return optionError(
    caller,
    `${option} with qLen ${qLen} and kvLen ${kvLen}${where} needs options.qOffset, the position of query row ` +
      '0 among the keys: "bottom-right" (the last query row sees the last key, as in decoding), "top-left" (query row 0 ' +
      "sees key 0 only), or a number",
  );
}

/**
 * The position of query row 0, of all batch rows or sequences or of each; undefined where it is 0 or of no meaning.
 *
 * @throws TypeError `ERR_SACCADE_OPTION` where it is needed and not given
 */
export function resolveQOffset(
  captured: CapturedAttention,
  { qLen, kvLen }: AttentionSizes,
  sequences: Sequences | undefined,
): readonly number[] | number | undefined {
  const { qOffset, kvLengths, qLengths, caller } = captured;
  const option = positionalOption(captured);
  if (option === undefined) return undefined;
  const rowsOf = (s: number): number => sequences?.qLens[s] ?? qLen;
  const keysOf = (s: number): number => sequences?.kvLens[s] ?? kvLen;
  if (qOffset === undefined) {
    for (let s = 0; s < (sequences?.qLens.length ?? 1); s++) {
      if (rowsOf(s) === keysOf(s)) continue;
      throw missing(option, rowsOf(s), keysOf(s), sequences === undefined ? "" : ` (sequence ${s})`, caller);
    }
    return undefined;
  }
  if (qOffset === "top-left") return undefined;
  if (qOffset !== "bottom-right") return qOffset;
  const offset = (s: number): number => (kvLengths?.[s] ?? keysOf(s)) - (qLengths?.[s] ?? rowsOf(s));
  const each = sequences?.qLens ?? kvLengths ?? qLengths;
  return each === undefined ? offset(0) : each.map((_, s) => offset(s));
}
