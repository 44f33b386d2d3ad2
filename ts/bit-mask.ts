/**
 * Masks that are rules rather than memory.
 */

import {
  argumentError,
  describe,
  dtypeError,
  optionError,
  rangeError,
  type SaccadeRangeError,
  shapeError,
  wrongKind,
} from "./errors.ts";
import { optionNames, unknownOption } from "./layout/options.ts";
import { I32_MAXIMUM, I32_MINIMUM, proveInteger, proveIntegerList, snapshot } from "./layout/shape.ts";
import { captureTensor, dtypeOf, proveTensor } from "./layout/tensor-like.ts";
import { rawArray } from "./layout/typed-array.ts";
import { ruleCompiler } from "./mask/compiler.ts";
import { rowWords } from "./mask/evaluate.ts";
import { instructionsOf, MOST_INSTRUCTIONS, proveRule, type RuleSizes } from "./mask/program.ts";
import { asksForOffset, type IdRows, leavesOf, type Rule, RuleHandle, type RuleOffset } from "./mask/rule.ts";
import type { PlainTensor, TensorInput } from "./tensor.ts";

/** Where query row 0 stands among the keys. */
export interface BitMaskPosition {
  /**
   * An integer, `"bottom-right"` (kvLen - qLen) or `"top-left"` (0). Default: what the call's own `qOffset` says, and 0
   * where qLen == kvLen.
   */
  readonly qOffset?: number | "bottom-right" | "top-left" | undefined;
}

/** A number per position, for all batch rows or for each. */
export type DocumentIds = ArrayLike<number> | ArrayLike<ArrayLike<number>>;

const KEY = Symbol("saccade.bitMask");
/** A bound on what is read from a hostile length. */
const MOST_ENTRIES = 2 ** 24;

/**
 * A mask that is a rule: which keys each query row may attend. It is made without an engine, never changes, and can be
 * used with calls of any size that it fits; it takes no memory of qLen x kvLen bytes, and blocks of keys that it hides
 * are not computed. Rules are combined with {@link BitMask.and}, {@link BitMask.or} and {@link BitMask.not}.
 *
 * @example
 * ```ts
 * const local = BitMask.window({ left: 255, right: 0 });
 * const mask = local.or(BitMask.global({ key: [0] })).and(BitMask.document({ query: ids, key: ids }));
 * const { out } = attention(query, key, value, { mask });
 * ```
 */
export class BitMask extends RuleHandle {
  readonly #rule: Rule;

  /** @internal Use the static functions. */
  constructor(key: symbol, rule: Rule) {
    if (key !== KEY) {
      throw argumentError(
        "BitMask",
        "a mask is not made with new; use BitMask.causal, BitMask.window, BitMask.fromTensor, ...",
      );
    }
    super(rule, ruleCompiler);
    this.#rule = rule;
  }

  /** @internal The mask of a rule that another BitMask was made of. */
  static ofRule(rule: Rule): BitMask {
    return new BitMask(KEY, rule);
  }

  /** Keys up to the row's own position: `j <= i + qOffset`. */
  static causal(options?: BitMaskPosition): BitMask {
    const { qOffset } = read(options, ["qOffset"], "BitMask.causal");
    return make({ kind: "causal", qOffset: offset(qOffset, "BitMask.causal") });
  }

  /** Keys around the row's own position: `i + qOffset - left <= j <= i + qOffset + right`; a missing side is open. */
  static window(
    options: BitMaskPosition & { readonly left?: number | undefined; readonly right?: number | undefined },
  ): BitMask {
    const caller = "BitMask.window";
    const { left, right, qOffset } = read(options, ["left", "right", "qOffset"], caller);
    const side = (value: unknown, name: string): number | undefined =>
      value === undefined ? undefined : proveInteger(value, 0, I32_MAXIMUM, caller, name);
    return make({
      kind: "window",
      left: side(left, "left"),
      right: side(right, "right"),
      qOffset: offset(qOffset, caller),
    });
  }

  /** A prefix that every row attends, and causal behind it: `j < lengths[b]` or `j <= i + qOffset`. */
  static prefixLm(options: BitMaskPosition & { readonly lengths: ArrayLike<number> }): BitMask {
    const caller = "BitMask.prefixLm";
    const { lengths, qOffset } = read(options, ["lengths", "qOffset"], caller);
    const list = proveIntegerList(
      lengths,
      MOST_ENTRIES,
      0,
      I32_MAXIMUM,
      caller,
      "lengths",
      "one integer per batch row",
    );
    if (list.length === 0) throw empty(caller, "lengths");
    const prefix: Rule = { kind: "prefix", lengths: Uint32Array.from(list) };
    return make({ kind: "or", left: prefix, right: { kind: "causal", qOffset: offset(qOffset, caller) } });
  }

  /**
   * Rows attend keys of their own document (block-diagonal, where documents lie one behind the other): the number of the
   * row equals that of the key.
   *
   * @param options - `query` has qLen numbers and `key` kvLen numbers, or one such list per batch row
   */
  static document(options: { readonly query: DocumentIds; readonly key: DocumentIds }): BitMask {
    const caller = "BitMask.document";
    const { query, key } = read(options, ["query", "key"], caller);
    return make({ kind: "document", query: idRows(query, caller, "query"), key: idRows(key, caller, "key") });
  }

  /** Keys whose distance from the row's own position is a multiple of `step`, on both sides. */
  static dilated(options: BitMaskPosition & { readonly step: number }): BitMask {
    const caller = "BitMask.dilated";
    const { step, qOffset } = read(options, ["step", "qOffset"], caller);
    return make({
      kind: "dilated",
      step: proveInteger(step, 1, I32_MAXIMUM, caller, "step"),
      qOffset: offset(qOffset, caller),
    });
  }

  /** Rows that attend every key, and keys that every row attends: their indices. */
  static global(options: {
    readonly query?: ArrayLike<number> | undefined;
    readonly key?: ArrayLike<number> | undefined;
  }): BitMask {
    const caller = "BitMask.global";
    const { query, key } = read(options, ["query", "key"], caller);
    const list = (value: unknown, name: string): readonly number[] =>
      value === undefined ? [] : proveIntegerList(value, MOST_ENTRIES, 0, I32_MAXIMUM, caller, name);
    return make({ kind: "global", query: list(query, "query"), key: list(key, "key") });
  }

  /**
   * Stores a bool tensor `[qLen, kvLen]`, with `numHeads` and `batch` (or 1) in front where wanted, as bits: an eighth of
   * its bytes.
   */
  static fromTensor(tensor: TensorInput): BitMask {
    const caller = "BitMask.fromTensor";
    const captured = captureTensor(tensor, caller, "tensor");
    const dtype = dtypeOf(captured, caller);
    if (dtype !== "bool" && dtype !== "uint8") {
      throw dtypeError(caller, `tensor is ${dtype}; expected bool or uint8 (a Uint8Array, not 0 = may attend)`);
    }
    const rank = captured.shape.length;
    if (rank < 2 || rank > 4) {
      throw shapeError(caller, `tensor.shape has ${rank} axes; expected 2 to 4: [batch, numHeads, qLen, kvLen]`);
    }
    const view = proveTensor(captured, undefined, caller);
    const { resident } = captured;
    const bytes =
      view.outside ?? rawArray(dtype, resident!.instance.memory(caller).views().buffer, view.address, view.span);
    const missing = 4 - rank;
    const shape = [0, 1, 2, 3].map((axis) => (axis < missing ? 1 : view.shape[axis - missing]!));
    const strides = [0, 1, 2, 3].map((axis) => (axis < missing ? 0 : view.strides[axis - missing]!));
    const [batch, heads, rows, columns] = shape as [number, number, number, number];
    const rowLength = Math.ceil(columns / 32);
    const words = new Uint32Array(batch * heads * rows * rowLength);
    for (let row = 0; row < batch * heads * rows; row++) {
      const i = row % rows;
      const h = Math.floor(row / rows) % heads;
      const b = Math.floor(row / rows / heads);
      const from = b * strides[0]! + h * strides[1]! + i * strides[2]!;
      for (let j = 0; j < columns; j++) {
        if (bytes[from + j] !== 0) words[row * rowLength + (j >>> 5)]! |= 1 << (j & 31);
      }
    }
    return make({ kind: "stored", bits: { words, shape: [batch, heads, rows, columns] } });
  }

  /** Keys that both masks show. */
  and(other: BitMask): BitMask {
    return combine("and", this.#rule, other, "BitMask.and");
  }

  /** Keys that one of the masks, or both, show. */
  or(other: BitMask): BitMask {
    return combine("or", this.#rule, other, "BitMask.or");
  }

  /** Keys that this mask hides. */
  not(): BitMask {
    return make(this.#rule.kind === "not" ? this.#rule.of : { kind: "not", of: this.#rule }, "BitMask.not");
  }

  /**
   * The mask written out, for tests and pictures: bool, `[qLen, kvLen]`, or `[batch, numHeads, qLen, kvLen]` (each 1 where
   * the mask is the same for all) where it differs between batch rows or heads.
   */
  toTensor(qLen: number, kvLen: number): PlainTensor<"bool"> {
    const caller = "BitMask.toTensor";
    const rows = proveInteger(qLen, 0, I32_MAXIMUM, caller, "qLen");
    const columns = proveInteger(kvLen, 0, I32_MAXIMUM, caller, "kvLen");
    if (rows !== columns && asksForOffset(this.#rule)) {
      throw optionError(caller, `qLen ${rows} and kvLen ${columns} need a mask with a qOffset of its own`);
    }
    let batch = 1;
    let numHeads = 1;
    for (const leaf of leavesOf(this.#rule)) {
      if (leaf.kind === "prefix") batch = Math.max(batch, leaf.lengths.length);
      if (leaf.kind === "document") batch = Math.max(batch, leaf.query.rows, leaf.key.rows);
      if (leaf.kind === "stored") {
        batch = Math.max(batch, leaf.bits.shape[0]);
        numHeads = Math.max(numHeads, leaf.bits.shape[1]);
      }
    }
    const sizes: RuleSizes = { batch, numHeads, qLen: rows, kvLen: columns, qOffset: 0 };
    proveRule(this.#rule, sizes, caller);
    const data = new Uint8Array(batch * numHeads * rows * columns);
    const words = new Uint32Array(Math.ceil(columns / 32));
    let at = 0;
    for (let b = 0; b < batch; b++) {
      for (let h = 0; h < numHeads; h++) {
        for (let i = 0; i < rows; i++) {
          rowWords(this.#rule, sizes, [b, h, i], words);
          for (let j = 0; j < columns; j++) data[at++] = (words[j >>> 5]! >>> (j & 31)) & 1;
        }
      }
    }
    const flat = batch === 1 && numHeads === 1;
    return { data, shape: flat ? [rows, columns] : [batch, numHeads, rows, columns], dtype: "bool" };
  }
}

function make(rule: Rule, caller = "BitMask"): BitMask {
  if (instructionsOf(rule) > MOST_INSTRUCTIONS) {
    throw rangeError(
      caller,
      `the mask would have ${instructionsOf(rule)} parts (rules and operations); at most ` +
        `${MOST_INSTRUCTIONS} can be combined`,
    );
  }
  return new BitMask(KEY, rule);
}

function combine(kind: "and" | "or", left: Rule, other: unknown, caller: string): BitMask {
  const right = RuleHandle.ruleOf(other)?.rule;
  if (right !== undefined) return make({ kind, left, right }, caller);
  throw wrongKind(caller, "other", other, "a BitMask");
}

/** Own properties, each read once. */
function read<N extends string>(options: unknown, names: readonly N[], caller: string): Partial<Record<N, unknown>> {
  const values: Partial<Record<N, unknown>> = {};
  for (const name of optionNames(options, caller)) {
    if (!(names as readonly string[]).includes(name)) throw unknownOption(name, names, caller);
    values[name as N] = (options as Record<string, unknown>)[name];
  }
  return values;
}

function offset(value: unknown, caller: string): RuleOffset {
  if (value === undefined || value === "bottom-right" || value === "top-left") return value;
  if (typeof value === "string") {
    throw optionError(caller, `qOffset is ${describe(value)}; expected an integer, "bottom-right" or "top-left"`);
  }
  // The smallest i32 stands for the offset of the call.
  return proveInteger(value, I32_MINIMUM + 1, I32_MAXIMUM, caller, "qOffset");
}

function empty(caller: string, name: string): SaccadeRangeError {
  return shapeError(caller, `${name} has no entries; expected one per batch row`);
}

function idRows(value: unknown, caller: string, name: string): IdRows {
  const expected = "one number per position, or such a list per batch row";
  const ids = (list: readonly unknown[], label: string): Int32Array<ArrayBuffer> =>
    Int32Array.from(list, (id, i) => proveInteger(id, I32_MINIMUM, I32_MAXIMUM, caller, `${label}[${i}]`));
  const entries = snapshot(value, MOST_ENTRIES, caller, name, expected);
  if (typeof entries[0] !== "object") return { ids: ids(entries, name), rows: 1, length: entries.length };
  const lists = entries.map((list, row) => snapshot(list, MOST_ENTRIES, caller, `${name}[${row}]`, "numbers"));
  const length = lists[0]!.length;
  const all = new Int32Array(lists.length * length);
  lists.forEach((list, row) => {
    if (list.length !== length) {
      throw shapeError(caller, `${name}[${row}] has ${list.length} numbers, ${name}[0] has ${length}`);
    }
    all.set(ids(list, `${name}[${row}]`), row * length);
  });
  return { ids: all, rows: lists.length, length };
}
