/**
 * Operands as `[batch, heads, length, dim]`, however the other system stores them, and caches made of them.
 */

import { dtypeError, shapeError } from "../errors.ts";

import type { PlainTensor } from "../tensor.ts";
import { contiguousStrides, copyElements } from "../wasm/view.ts";
import { type AnyTensor, allocate, bitsOf, proveRank, readTensor, type Source, viewAs } from "./tensor.ts";

/** Order of the axes that a view is wanted in. */
export type Layout = "bshd" | "bhsd";

/** Rows of heads, somewhere in a tensor. */
export interface Heads {
  readonly source: Source;
  readonly batch: number;
  readonly heads: number;
  readonly length: number;
  readonly dim: number;
  /** Elements from one batch row, head and row to the next. */
  readonly strides: readonly [batch: number, head: number, row: number];
  /** Elements before the first. */
  readonly from: number;
}

/** `[batch, heads, length, dim]`. */
export function fromHeads(source: Source, caller: string): Heads {
  proveRank(source, [4], caller);
  const [batch, heads, length, dim] = source.shape as [number, number, number, number];
  const strides = source.strides.slice(0, 3) as unknown as Heads["strides"];
  return { source, batch, heads, length, dim, strides, from: 0 };
}

/** `[batch, length, heads * dim]`. */
export function fromHidden(source: Source, heads: number, attribute: string, caller: string): Heads {
  proveRank(source, [3], caller);
  const hidden = source.shape[2]!;
  if (hidden % heads !== 0) {
    throw shapeError(
      caller,
      `${source.name}.shape[2] is ${hidden}; expected a multiple of ${attribute}, which is ${heads}`,
    );
  }
  return partOfHidden(source, 0, heads, hidden / heads);
}

/** `heads` heads of `[batch, length, allHeads * dim]`, from head `first` on. */
export function partOfHidden(source: Source, first: number, heads: number, dim: number): Heads {
  const [batch, length] = source.shape as [number, number];
  const strides = [source.strides[0]!, dim, source.strides[1]!] as const;
  return { source, batch, heads, length, dim, strides, from: first * dim };
}

/** Part `index` of `[batch, length, heads, parts, dim]`. */
export function partOfPacked(source: Source, index: number): Heads {
  const [batch, length, heads, , dim] = source.shape as [number, number, number, number, number];
  const [perBatch, perRow, perHead, perPart] = source.strides as [number, number, number, number];
  return { source, batch, heads, length, dim, strides: [perBatch, perHead, perRow], from: index * perPart };
}

/** The heads as `attention` takes them; only the first `length` rows where that is given. */
export function asOperand(operand: Heads, layout: Layout, length = operand.length): AnyTensor {
  const { source, batch, heads, dim, from } = operand;
  const [perBatch, perHead, perRow] = operand.strides;
  const shape = layout === "bhsd" ? [batch, heads, length, dim] : [batch, length, heads, dim];
  const strides = layout === "bhsd" ? [perBatch, perHead, perRow, 1] : [perBatch, perRow, perHead, 1];
  const same = (list: readonly number[], other: readonly number[]) =>
    list.length === other.length && list.every((entry, axis) => entry === other[axis]);
  if (from === 0 && same(source.shape, shape) && same(source.strides, strides)) return source.given;
  return viewAs(source, shape, strides, from);
}

/** Proves what two operands must have in common. */
export function proveAlike(
  operand: Heads,
  model: Heads,
  sizes: readonly ("batch" | "heads" | "length" | "dim")[],
  caller: string,
): void {
  for (const size of sizes) {
    if (operand[size] === model[size]) continue;
    throw shapeError(
      caller,
      `${operand.source.name} has ${size} ${operand[size]}, ${model.source.name} has ${model[size]}`,
    );
  }
}

/** Rows that become part of a cache. */
export interface Piece {
  readonly operand: Heads;
  /** How many of its rows, per batch row. */
  readonly rows: (batch: number) => number;
  /** The row of the cache that the first of them becomes, per batch row. */
  readonly at: (batch: number) => number;
}

/** A new `[batch, heads, length, dim]` tensor made of pieces, zero where there is none. */
export function assemble(length: number, pieces: readonly Piece[], caller: string): PlainTensor {
  const { batch, heads, dim, source: first } = pieces[0]!.operand;
  for (const { operand } of pieces) {
    const { name, dtype } = operand.source;
    if (dtype === first.dtype) continue;
    throw dtypeError(caller, `${name} is ${dtype}, ${first.name} is ${first.dtype}`);
  }
  const shape = [batch, heads, length, dim];
  const { plain, raw } = allocate(first.dtype, shape, caller);
  const [perBatch, ...target] = contiguousStrides(shape, raw.length) as [number, number, number, number];
  for (const { operand, rows, at } of pieces) {
    const bits = bitsOf(operand.source, caller);
    const [from, ...strides] = operand.strides;
    for (let row = 0; row < batch; row++) {
      const source = operand.from + row * from;
      copyElements(
        [heads, rows(row), dim],
        bits,
        source,
        [...strides, 1],
        raw,
        row * perBatch + at(row) * target[1],
        target,
      );
    }
  }
  return plain;
}

/** `past` followed by `fresh`. */
export function concatenate(past: Heads, fresh: Heads, caller: string): PlainTensor {
  proveAlike(past, fresh, ["batch", "heads", "dim"], caller);
  return assemble(
    past.length + fresh.length,
    [
      { operand: past, rows: () => past.length, at: () => 0 },
      { operand: fresh, rows: () => fresh.length, at: () => past.length },
    ],
    caller,
  );
}

/** `[batch, length, heads, dim]` seen as `[batch, length, heads * dim]`. */
export function mergeHeads(out: AnyTensor, caller: string): AnyTensor {
  const source = readTensor(out, caller, "out");
  proveRank(source, [4], caller);
  const [batch, length, heads, dim] = source.shape as [number, number, number, number];
  const [perBatch, perRow, perHead] = source.strides as [number, number, number, number];
  if (heads > 1 && perHead !== dim) {
    throw shapeError(
      caller,
      "out has gaps between its heads, so they cannot be seen as one row; give a contiguous out",
    );
  }
  const shape = [batch, length, heads * dim];
  const { dtype, data } = source;
  const contiguous = contiguousStrides(source.shape, batch * length * heads * dim);
  if (source.offset === 0 && contiguous.every((stride, axis) => stride === source.strides[axis])) {
    return "toPlain" in out ? viewAs(source, shape, [perBatch, perRow, 1]) : { data: data(), shape, dtype };
  }
  return viewAs(source, shape, [perBatch, perRow, 1]);
}
