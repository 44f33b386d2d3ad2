/**
 * Rotary positions.
 */

import type { Engine } from "./engine.ts";
import { optionError, rangeError, shapeError } from "./errors.ts";
import { instanceFor } from "./init.ts";
import { axesOf, LAYOUTS } from "./layout/axes.ts";
import { resolveDestination } from "./layout/destinations.ts";
import { proveApartOrSame } from "./layout/in-place.ts";
import { captureIntegers, type IntegerTensor, proveIntegerTensor } from "./layout/integers.ts";
import { proveFloatTensor } from "./layout/operands.ts";
import { proveWord, readOptions } from "./layout/options.ts";
import { plainOf } from "./layout/results.ts";
import { type RopeScaling, resolveScaling, type ScalingCall } from "./layout/rope-scaling.ts";
import { MAXIMUM_SIZE, proveInteger } from "./layout/shape.ts";
import { type CapturedTensor, captureTensor } from "./layout/tensor-like.ts";
import { proveBase, proveOffset } from "./positions.ts";
import type { PlainTensor, TensorInput } from "./tensor.ts";
import { inSession, type Session, type Slot } from "./wasm/operator.ts";
import type { TensorView } from "./wasm/view.ts";

export type { RopeScaling } from "./layout/rope-scaling.ts";

const STYLES = ["half", "interleaved"] as const;

/** Cosines and sines of one's own, a row for each position. */
export interface RopeTables {
  /** `[n, rotaryDim / 2]` */
  readonly cos: TensorInput;
  /** `[n, rotaryDim / 2]` */
  readonly sin: TensorInput;
}

/** Options of {@link rope}. */
export interface RopeOptions {
  /** Base of the frequencies, from 1 up. Default 10000. */
  readonly base?: number | undefined;
  /**
   * Which columns make a pair: `"half"` (default) i and i + rotaryDim / 2, as GPT-NeoX and Llama checkpoints have it,
   * `"interleaved"` 2i and 2i + 1, as the paper and GPT-J have it. A checkpoint fixes which; the wrong one gives nonsense.
   */
  readonly style?: "half" | "interleaved" | undefined;
  /** Position of row 0: any integer of 32 bits. Default 0. Not with `positions`. */
  readonly offset?: number | undefined;
  /** One position per token: a list of seq integers, or an int32 tensor `[seq]` or `[batch, seq]`. */
  readonly positions?: ArrayLike<number> | TensorInput | undefined;
  /** Columns that are turned, the first ones of each head: even, at most headDim, which is the default. */
  readonly rotaryDim?: number | undefined;
  /** How frequencies are changed for sequences longer than those of training. Default: not at all. */
  readonly scaling?: RopeScaling | undefined;
  /** Length of the sequence for the scalings that depend on it. Default: the largest position of the call and 1. */
  readonly seqLen?: number | undefined;
  /** Cosines and sines of one's own in place of base and scaling; positions are rows of them. */
  readonly tables?: RopeTables | undefined;
  /** Order of the axes, as in `attention`. Default `"bshd"`. */
  readonly layout?: "bshd" | "bhsd" | undefined;
  /** Where the result goes: float32 of x's shape. It may be x itself: then x is changed in place. Default: a new tensor. */
  readonly out?: TensorInput | undefined;
  /** Default: the default engine. */
  readonly engine?: Engine | undefined;
}

const KNOWN = [
  "base",
  "style",
  "offset",
  "positions",
  "rotaryDim",
  "scaling",
  "seqLen",
  "tables",
  "layout",
  "out",
  "engine",
] as const;

/**
 * Rotary positions (Su et al., "RoFormer", 2021): each pair of columns `(a, b)` of a row at position p is turned by the angle
 * `p f_i`, `f_i = base^(-2i / rotaryDim)`, into `(a cos - b sin, b cos + a sin)`. Applied to query and key alike, their dot product
 * depends on the distance of the positions alone. Angles are reduced in float64, so that far positions are as exact as near ones.
 *
 * @param x - `[batch, seq, heads, headDim]` in the default layout; rank 3 leaves out batch, rank 2 batch and heads
 * @returns float32 of x's shape; the target itself where `out` is given
 * @throws TypeError `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`, `ERR_SACCADE_OPTION`; RangeError `ERR_SACCADE_SHAPE`,
 *   `ERR_SACCADE_STRIDE`, `ERR_SACCADE_RANGE`, `ERR_SACCADE_OVERLAP`; SaccadeError as `attention`
 *
 * @example
 * ```ts
 * import { attention, init, rope } from "saccade";
 *
 * await init();
 * const shape = [1, 8, 2, 64];
 * const x = { data: new Float32Array(1024).fill(0.5), shape };
 * const query = rope(x, { base: 500000, offset: 100 });
 * const key = rope(x, { base: 500000, offset: 100 });
 * console.log(attention(query, key, x, { causal: true }).out.shape); // [1, 8, 2, 64]
 * ```
 */
export function rope(x: TensorInput, options?: RopeOptions): PlainTensor<"float32"> {
  const caller = "rope";
  const captured = captureTensor(x, caller, "x");
  const read = readOptions(options, KNOWN, caller);
  refuseContradictions(read, caller);
  const positions =
    read.positions === undefined ? undefined : captureIntegers(read.positions, caller, "options.positions");
  const tables = read.tables === undefined ? undefined : captureTables(read.tables, caller);
  const target = read.out === undefined ? undefined : captureTensor(read.out, caller, "out");
  const layout = read.layout === undefined ? "bshd" : proveWord(read.layout, LAYOUTS, caller, "layout");
  const { shape } = captured;
  const axes = axesOf(shape, layout, caller, "x");
  const sizeOf = (axis: number): number => (axis < 0 ? 1 : shape[axis]!);
  const [batch, seq, heads, headDim] = [axes.batch, axes.seq, axes.head, shape.length - 1].map(sizeOf) as [
    number,
    number,
    number,
    number,
  ];
  const turn = proveTurn(read, headDim, caller);
  const offset = proveOffset(read.offset, seq, caller);
  const instance = instanceFor(read.engine, caller);
  const view = proveFloatTensor(captured, instance, caller);
  const list = positions === undefined ? undefined : proveIntegerTensor(positions, instance, caller);
  const kind = provePositions(list, batch, seq, caller);
  const turns = tables?.map((table) => proveFloatTensor(table, instance, caller));
  if (turns !== undefined) proveTables(turns, turn.rotaryDim, list, offset, seq, caller);
  const destination = resolveDestination(target, shape, "float32", instance, caller);
  const inputs = (turns ?? []).map((table, index) => ({ name: `options.tables.${TABLES[index]}`, view: table }));
  const inPlace = proveApartOrSame(destination, view, inputs, caller);
  return inSession(instance, caller, (session) => {
    const out = session.result(destination);
    const [cos, sin] = (turns ?? []).map((table) => session.input(table));
    runRotary(session, {
      turn,
      sizes: [batch, seq, heads, headDim],
      layout,
      kind,
      positions: list?.data ?? offset,
      x: inPlace ? undefined : session.input(view),
      tables: turns === undefined ? undefined : { cos: cos!, sin: sin!, rows: turns[0]!.shape[0]! },
      out,
    });
    return plainOf(out, read.out);
  });
}

const TABLES = ["cos", "sin"] as const;

/** How rows are turned: options of {@link rope}, proved. */
export interface RotaryTurn {
  readonly rotaryDim: number;
  readonly style: (typeof STYLES)[number];
  readonly base: number;
  readonly scaling: ScalingCall;
  /** 0: the largest position of the call and 1. */
  readonly seqLen: number;
}

/** Operands of the operator. */
export interface RotaryCall {
  readonly turn: RotaryTurn;
  readonly sizes: readonly [batch: number, seq: number, heads: number, headDim: number];
  readonly layout: (typeof LAYOUTS)[number];
  /** Positions: 0 from one on, 1 a list for all batch rows, 2 a list for each. */
  readonly kind: 0 | 1 | 2;
  readonly positions: number | Int32Array<ArrayBuffer>;
  /** Undefined: `out` is turned in place. */
  readonly x: Slot | undefined;
  readonly tables?: { readonly cos: Slot; readonly sin: Slot; readonly rows: number } | undefined;
  readonly out: Slot;
}

/** Turns rows inside a session. */
export function runRotary(
  session: Session,
  { turn, sizes, layout, kind, positions, x, tables, out }: RotaryCall,
): void {
  const { rotaryDim, style, base, scaling, seqLen } = turn;
  const listed = typeof positions !== "number";
  session.run("rotary", {
    integers: [
      ...[...sizes, rotaryDim, STYLES.indexOf(style), LAYOUTS.indexOf(layout), kind, listed ? 0 : positions],
      ...[scaling.number, seqLen, scaling.truncate ? 1 : 0, tables?.rows ?? 0],
    ],
    floats: [base, ...scaling.floats],
    inputs: [
      x,
      listed ? session.list(positions) : undefined,
      scaling.factors && session.list(scaling.factors),
      tables?.cos,
      tables?.sin,
    ],
    outputs: [out],
  });
}

/** Proves the options of {@link rope} that do not depend on a call. */
export function proveTurn(
  read: Partial<Record<"base" | "style" | "rotaryDim" | "scaling" | "seqLen", unknown>>,
  headDim: number,
  caller: string,
): RotaryTurn {
  const style = read.style === undefined ? "half" : proveWord(read.style, STYLES, caller, "style");
  const rotaryDim = proveRotaryDim(read.rotaryDim, headDim, caller);
  const base = proveBase(read.base, caller);
  const scaling = resolveScaling(read.scaling, rotaryDim, base, caller);
  const seqLen = read.seqLen === undefined ? 0 : proveInteger(read.seqLen, 1, MAXIMUM_SIZE, caller, "options.seqLen");
  return { rotaryDim, style, base, scaling, seqLen };
}

function refuseContradictions(read: Partial<Record<(typeof KNOWN)[number], unknown>>, caller: string): void {
  const refuse = (a: string, b: string): never => {
    throw optionError(caller, `options.${a} and options.${b} contradict each other; give one of them`);
  };
  if (read.offset !== undefined && read.positions !== undefined) refuse("offset", "positions");
  for (const name of ["base", "scaling", "seqLen"] as const) {
    if (read.tables !== undefined && read[name] !== undefined) refuse("tables", name);
  }
}

function captureTables(tables: unknown, caller: string): readonly CapturedTensor[] {
  const read = readOptions(tables, TABLES, caller);
  return TABLES.map((name) => captureTensor(read[name], caller, `options.tables.${name}`));
}

function proveRotaryDim(value: unknown, headDim: number, caller: string): number {
  if (value === undefined && (headDim === 0 || headDim % 2 === 1)) {
    throw shapeError(
      caller,
      `headDim, the last of x.shape, is ${headDim}; expected an even number, or options.rotaryDim`,
    );
  }
  const rotaryDim = value === undefined ? headDim : proveInteger(value, 2, headDim, caller, "options.rotaryDim");
  if (rotaryDim % 2 === 0) return rotaryDim;
  throw rangeError(
    caller,
    `options.rotaryDim is ${rotaryDim}; expected an even number, since columns are turned in pairs`,
  );
}

/** 0 without a list, 1 for positions of all batch rows, 2 for positions of each. */
function provePositions(list: IntegerTensor | undefined, batch: number, seq: number, caller: string): 0 | 1 | 2 {
  if (list === undefined) return 0;
  const [first, second] = list.shape;
  if (list.shape.length === 1 && first === seq) return 1;
  if (list.shape.length === 2 && first === batch && second === seq) return 2;
  throw shapeError(
    caller,
    `options.positions has shape [${list.shape.join(", ")}]; expected [${seq}] (seq) or [${batch}, ${seq}] (batch, seq)`,
  );
}

/** Proves tables of one's own: their shape, and that every position is one of their rows. */
function proveTables(
  [cos, sin]: readonly TensorView[],
  rotaryDim: number,
  list: IntegerTensor | undefined,
  offset: number,
  seq: number,
  caller: string,
): void {
  const pairs = rotaryDim / 2;
  for (const [name, { shape }] of [["cos", cos!] as const, ["sin", sin!] as const]) {
    if (shape.length !== 2 || shape[1] !== pairs || shape[0] !== cos!.shape[0] || shape[0] === 0) {
      throw shapeError(
        caller,
        `options.tables.${name}.shape is [${shape.join(", ")}]; expected [n, ${pairs}], n at least 1 and that of cos`,
      );
    }
  }
  const rows = cos!.shape[0]!;
  const positions = list?.data ?? (seq === 0 ? [] : [offset, offset + seq - 1]);
  const wrong = positions.find((position) => position < 0 || position >= rows);
  if (wrong !== undefined) {
    throw rangeError(caller, `position ${wrong} is no row of options.tables.cos, which has ${rows}`);
  }
}
