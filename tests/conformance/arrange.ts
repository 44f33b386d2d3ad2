/** One painted problem, laid out in memory in many ways, run, and brought back to `[batch, heads, length, dim]`. */
import type { PaintedTensor } from "../vectors/schema.ts";
import { bitMaskOf } from "./bit-mask.ts";
import { type Engine, equal, type Library, ok, sameList } from "./harness.ts";
import { type Broadcast, inStorage, numbersOf, type Problem, type Storage } from "./problem.ts";

export type Layout = "bshd" | "bhsd";

/** How mask and bias lie: as they are, with unused elements between their rows, broadcast by strides of 0, or resident. */
export type MaskMemory = "plain" | "gaps" | "expanded" | "resident";

export interface Arrangement {
  layout: Layout;
  /** 3 needs batch 1; 2 needs one head as well. */
  rank: 2 | 3 | 4;
  /** How an operand lies in memory: order of the axes batch, head and length, and unused elements on each level. */
  memory: { order: readonly Axis[]; gaps: readonly [number, number, number]; offset: number } | null;
  resident: boolean;
  masks: MaskMemory;
}

type Axis = "b" | "h" | "s";

export const plain = (layout: Layout = "bhsd"): Arrangement => ({
  layout,
  rank: 4,
  memory: null,
  resident: false,
  masks: "plain",
});

interface View<T> {
  data: T;
  shape: number[];
  strides?: number[];
  offset?: number;
  dtype?: "float16" | "bfloat16" | "bool";
}

type Floats = Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>;

export const axesOf = (layout: Layout, rank: number): Axis[] => {
  const axes: Axis[] = layout === "bshd" ? ["b", "s", "h"] : ["b", "h", "s"];
  if (rank === 4) return axes;
  return rank === 3 ? axes.slice(1) : ["s"];
};

const product = (sizes: readonly number[]) => sizes.reduce((a, b) => a * b, 1);

/** What lies between the elements of a view: a value that would show in any result that reads it. */
const UNUSED = Number.NaN;

export function arrange(tensor: PaintedTensor, how: Arrangement, storage: Storage = "float32"): View<Floats> {
  const [b, h, s, dim] = tensor.shape;
  const size = { b, h, s };
  const axes = axesOf(how.layout, how.rank);
  const order = how.memory?.order ?? (how.layout === "bshd" ? (["b", "s", "h"] as const) : (["b", "h", "s"] as const));
  const gaps = how.memory?.gaps ?? [0, 0, 0];
  const offset = how.memory?.offset ?? 0;
  const stride: Record<Axis, number> = { b: 0, h: 0, s: 0 };
  let step = dim;
  for (let level = 2; level >= 0; level--) {
    step += gaps[level]!;
    stride[order[level]!] = step;
    step *= size[order[level]!];
  }
  const data = new Float32Array(offset + step).fill(UNUSED);
  let source = 0;
  for (let ib = 0; ib < b; ib++) {
    for (let ih = 0; ih < h; ih++) {
      for (let is = 0; is < s; is++, source += dim) {
        const at = offset + ib * stride.b + ih * stride.h + is * stride.s;
        data.set(tensor.data.subarray(source, source + dim), at);
      }
    }
  }
  const shape = [...axes.map((axis) => size[axis]), dim];
  const array = inStorage(data, storage);
  if (!how.memory) return { ...array, shape };
  return { ...array, shape, strides: [...axes.map((axis) => stride[axis]), 1], offset };
}

/** A mask or bias in memory; `unused` fills what it does not own. */
function arrangeMask<T extends Uint8Array<ArrayBuffer> | Float32Array<ArrayBuffer>>(
  { data, shape }: Broadcast<T>,
  how: MaskMemory,
  unused: number,
  full: readonly number[],
): View<T> {
  if (how === "plain" || how === "resident") return { data, shape };
  const rank = shape.length;
  const width = shape[rank - 1]!;
  if (how === "expanded") {
    // Only the last axis has to lie as it is.
    const wide = full.slice(4 - rank, 3);
    const strides: number[] = [];
    let step = width;
    for (let axis = rank - 2; axis >= 0; axis--) {
      strides.unshift(shape[axis] === 1 ? 0 : step);
      step *= shape[axis]!;
    }
    return { data, shape: [...wide, width], strides: [...strides, 1] };
  }
  const gap = 3;
  const rows = product(shape.slice(0, -1));
  const array = data.slice(0, 0).constructor as new (length: number) => T;
  const spread = new array(gap + rows * (width + gap)).fill(unused) as T;
  for (let row = 0; row < rows; row++) {
    spread.set(data.subarray(row * width, (row + 1) * width), gap + row * (width + gap));
  }
  const strides = [1];
  let step = width + gap;
  for (let axis = rank - 2; axis >= 0; axis--) {
    strides.unshift(step);
    step *= shape[axis]!;
  }
  return { data: spread, shape, strides, offset: gap };
}

/** The elements of a contiguous result in `[batch, heads, length, dim]`, whatever layout it has. */
export function toBhsd<T extends Float32Array>(data: T, layout: Layout, shape: PaintedTensor["shape"]): T {
  if (layout === "bhsd") return data;
  const [b, h, s, dim] = shape;
  const result = data.slice() as T;
  for (let ib = 0; ib < b; ib++) {
    for (let is = 0; is < s; is++) {
      for (let ih = 0; ih < h; ih++) {
        const from = ((ib * s + is) * h + ih) * dim;
        result.set(data.subarray(from, from + dim), ((ib * h + ih) * s + is) * dim);
      }
    }
  }
  return result;
}

/** Which weights are asked for, under the library's names. */
export type WeightsForm = true | "head-mean" | { rows: number[] } | { topK: number };

export interface Outcome {
  out: Float32Array;
  lse: Float32Array;
  weights?: Float32Array;
  /** Of the top k. */
  indices?: Int32Array;
  scores?: Float32Array;
}

export interface Run {
  library: Library;
  engine: Engine;
  arrangement?: Arrangement;
  weights?: WeightsForm | false;
  tap?: "raw" | "scaled" | "capped" | "biased";
  outDtype?: Storage;
}

/** The problem's options as the library takes them. Tensors it makes are pushed to `held`. */
export function optionsOf(problem: Problem, library: Library, how: MaskMemory, keep: <V>(view: V) => V) {
  const { rule, mask, bias, ...same } = problem.options;
  const { batch, numHeads, qLen, kvLen } = problem.shape;
  const full = [batch, numHeads, qLen, kvLen];
  const resident = <V>(view: V) => (how === "resident" ? keep(view) : view);
  const biasView = bias && arrangeMask(bias, how, UNUSED, full);
  return {
    ...same,
    ...(mask && { mask: resident({ ...arrangeMask(mask, how, 1, full), dtype: "bool" as const }) }),
    ...(rule && { mask: bitMaskOf(library, rule) }),
    ...(biasView && { bias: resident({ ...biasView, ...inStorage(biasView.data, problem.storage?.bias) }) }),
  };
}

/** Runs the problem and checks the shapes and types of all that comes back. */
export function attend(problem: Problem, run: Run): Outcome {
  const { library, engine, arrangement = plain(), weights: form = false, tap, outDtype } = run;
  const { shape, storage } = problem;
  const { batch, numHeads, qLen, kvLen, valueHeadDim } = shape;
  const { layout, rank } = arrangement;
  const held: { dispose(): void }[] = [];
  const keep = <V>(view: V): V => {
    const tensor = library.Tensor.from(view as never, { engine });
    held.push(tensor);
    return tensor as V;
  };
  const operand = (name: "query" | "key" | "value") => {
    const view = arrange(problem[name], arrangement, storage?.[name]);
    return arrangement.resident ? keep(view) : view;
  };
  try {
    const options = {
      ...optionsOf(problem, library, arrangement.masks, keep),
      layout,
      returnLse: true as const,
      ...(form === false ? {} : { returnWeights: form }),
      ...(tap === undefined ? {} : { tap }),
      ...(outDtype === undefined ? {} : { outDtype }),
      engine,
    };
    // The result's type follows from the options' literal types, which a run decides only here.
    const result = library.attention(operand("query"), operand("key"), operand("value"), options as never) as Loose;
    const sizes = { b: batch, h: numHeads, s: qLen };
    const rows = rank === 4 ? [batch, numHeads, qLen] : rank === 3 ? [numHeads, qLen] : [qLen];
    const read = (name: string, given: Plain | undefined, expected: readonly number[], dtype: string = "float32") => {
      ok(given, `${name} is missing`);
      sameList(given.shape, expected, `${name}.shape`);
      equal(given.dtype, dtype, `${name}.dtype`);
      equal(given.data.length, product(expected), `${name}.data.length`);
      if (dtype === "float32") ok(given.data instanceof Float32Array, `${name}.data is no Float32Array`);
      return numbersOf(given.data, dtype, name);
    };
    const outShape = [...axesOf(layout, rank).map((axis) => sizes[axis]), valueHeadDim];
    const out = read("out", result.out, outShape, outDtype ?? storage?.query ?? "float32");
    const outcome: Outcome = {
      out: toBhsd(out, layout, [batch, numHeads, qLen, valueHeadDim]),
      lse: read("lse", result.lse, rows),
    };
    if (tap !== undefined) outcome.scores = read("scores", result.scores, [...rows, kvLen]);
    if (form === true) outcome.weights = read("weights", result.weights as Plain, [...rows, kvLen]);
    else if (form === "head-mean") {
      outcome.weights = read("weights", result.weights as Plain, [...(rank === 4 ? [batch] : []), qLen, kvLen]);
    } else if (form !== false && "rows" in form) {
      const chosen = [...rows.slice(0, -1), form.rows.length, kvLen];
      outcome.weights = read("weights", result.weights as Plain, chosen);
    } else if (form !== false) {
      const { values, indices } = result.weights as { values: Plain; indices: Plain };
      outcome.weights = read("weights.values", values, [...rows, form.topK]);
      sameList(indices.shape, [...rows, form.topK], "weights.indices.shape");
      equal(indices.dtype, "int32", "weights.indices.dtype");
      ok(indices.data instanceof Int32Array, "weights.indices.data is no Int32Array");
      outcome.indices = indices.data;
    }
    return outcome;
  } finally {
    for (const tensor of held) tensor.dispose();
  }
}

interface Plain {
  data: (Float32Array | Int32Array | Uint16Array) & ArrayBufferView;
  shape: readonly number[];
  dtype: string;
}

interface Loose {
  out: Plain;
  lse?: Plain;
  weights?: Plain | { values: Plain; indices: Plain };
  scores?: Plain;
}
