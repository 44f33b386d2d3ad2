// @ts-check
/**
 * Masks given as rules, as `BitMask` has them: here a tree of plain objects and one predicate.
 * Positions of query rows are `i + offset`.
 */

/**
 * @typedef {{ kind: "causal", offset: number }
 *   | { kind: "window", left?: number, right?: number, offset: number }
 *   | { kind: "prefixLm", lengths: number[], offset: number }
 *   | { kind: "document", query: number[][], key: number[][] }
 *   | { kind: "dilated", step: number, offset: number }
 *   | { kind: "global", query: number[], key: number[] }
 *   | { kind: "stored", data: Uint8Array<ArrayBuffer>, shape: number[] }
 *   | { kind: "and" | "or", of: [Rule, Rule] }
 *   | { kind: "not", of: [Rule] }} Rule
 */

/**
 * The element of a tensor that numpy's rules broadcast to `[batch, heads, qLen, kvLen]`.
 * @param {{ data: ArrayLike<number>, shape: number[] }} tensor
 * @param {[number, number, number, number]} index
 */
export function elementAt({ data, shape }, index) {
  let stride = 1;
  let place = 0;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const size = /** @type {number} */ (shape[axis]);
    const i = /** @type {number} */ (index[4 - shape.length + axis]);
    if (size > 1) place += stride * i;
    stride *= size;
  }
  return /** @type {number} */ (data[place]);
}

/** One list for all batch rows, or one for each. @template T @param {T[]} lists @param {number} b */
const ofBatchRow = (lists, b) => /** @type {T} */ (lists.length === 1 ? lists[0] : lists[b]);

/**
 * Whether query row i of head h of batch row b may attend to key j by the rule.
 * @param {Rule} rule
 * @param {number} b
 * @param {number} h
 * @param {number} i
 * @param {number} j
 * @returns {boolean}
 */
export function sees(rule, b, h, i, j) {
  switch (rule.kind) {
    case "causal":
      return j <= i + rule.offset;
    case "window": {
      const position = i + rule.offset;
      return (
        (rule.left === undefined || j >= position - rule.left) &&
        (rule.right === undefined || j <= position + rule.right)
      );
    }
    case "prefixLm":
      return j < ofBatchRow(rule.lengths, b) || j <= i + rule.offset;
    case "document":
      return ofBatchRow(rule.query, b)[i] === ofBatchRow(rule.key, b)[j];
    case "dilated":
      return (i + rule.offset - j) % rule.step === 0;
    case "global":
      return rule.query.includes(i) || rule.key.includes(j);
    case "stored":
      return elementAt(rule, [b, h, i, j]) !== 0;
    case "and":
      return sees(rule.of[0], b, h, i, j) && sees(rule.of[1], b, h, i, j);
    case "or":
      return sees(rule.of[0], b, h, i, j) || sees(rule.of[1], b, h, i, j);
    case "not":
      return !sees(rule.of[0], b, h, i, j);
  }
}
