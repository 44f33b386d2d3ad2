/** One painted problem, laid out in memory in many ways, run, and brought back to `[batch, heads, length, dim]`. */
import type { PaintedTensor, Shape } from "../vectors/schema.ts";
import { type Engine, equal, type Library, ok, sameList } from "./harness.ts";

export interface Problem {
  shape: Shape;
  query: PaintedTensor;
  key: PaintedTensor;
  value: PaintedTensor;
  options: {
    scale?: number;
    causal?: boolean;
    qOffset?: number | ArrayLike<number>;
    kvLengths?: ArrayLike<number>;
  };
}

/** The arrays alone, as the references take them. */
export const inputsOf = ({ query, key, value }: Problem) => ({ query: query.data, key: key.data, value: value.data });

export type Layout = "bshd" | "bhsd";

export interface Arrangement {
  layout: Layout;
  /** 3 needs batch 1; 2 needs one head as well. */
  rank: 2 | 3 | 4;
  /** How an operand lies in memory: order of the axes batch, head and length, and unused elements on each level. */
  memory: { order: readonly Axis[]; gaps: readonly [number, number, number]; offset: number } | null;
  resident: boolean;
}

type Axis = "b" | "h" | "s";

export const plain = (layout: Layout = "bhsd"): Arrangement => ({ layout, rank: 4, memory: null, resident: false });

interface View {
  data: Float32Array<ArrayBuffer>;
  shape: number[];
  strides?: number[];
  offset?: number;
}

const axesOf = (layout: Layout, rank: number): Axis[] => {
  const axes: Axis[] = layout === "bshd" ? ["b", "s", "h"] : ["b", "h", "s"];
  if (rank === 4) return axes;
  return rank === 3 ? axes.slice(1) : ["s"];
};

const product = (sizes: readonly number[]) => sizes.reduce((a, b) => a * b, 1);

/** What lies between the elements of a view: a value that would show in any result that reads it. */
const UNUSED = Number.NaN;

export function arrange(tensor: PaintedTensor, how: Arrangement): View {
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
  if (!how.memory) return { data, shape };
  return { data, shape, strides: [...axes.map((axis) => stride[axis]), 1], offset };
}

/** The elements of a contiguous result in `[batch, heads, length, dim]`, whatever layout it has. */
export function toBhsd(data: Float32Array, layout: Layout, shape: PaintedTensor["shape"]): Float32Array {
  if (layout === "bhsd") return data;
  const [b, h, s, dim] = shape;
  const result = new Float32Array(data.length);
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

export interface Outcome {
  out: Float32Array;
  lse: Float32Array;
  weights?: Float32Array;
}

export interface Run {
  library: Library;
  engine: Engine;
  arrangement?: Arrangement;
  weights?: boolean;
}

/** Runs the problem and checks the shapes of all that comes back. */
export function attend(problem: Problem, { library, engine, arrangement = plain(), weights = false }: Run): Outcome {
  const { shape } = problem;
  const { batch, numHeads, qLen, kvLen, valueHeadDim } = shape;
  const { layout, rank } = arrangement;
  const views = [problem.query, problem.key, problem.value].map((tensor) => arrange(tensor, arrangement));
  const resident = arrangement.resident ? views.map((view) => library.Tensor.from(view, { engine })) : [];
  try {
    const [query, key, value] = arrangement.resident ? resident : views;
    const result = library.attention(query!, key!, value!, {
      ...problem.options,
      layout,
      returnLse: true,
      ...(weights ? { returnWeights: true as const } : {}),
      engine,
    });
    const sizes = { b: batch, h: numHeads, s: qLen };
    sameList(result.out.shape, [...axesOf(layout, rank).map((axis) => sizes[axis]), valueHeadDim], "out.shape");
    const rows = rank === 4 ? [batch, numHeads, qLen] : rank === 3 ? [numHeads, qLen] : [qLen];
    ok(result.lse, "lse is missing");
    sameList(result.lse.shape, rows, "lse.shape");
    ok(result.out.data instanceof Float32Array, "out.data is no Float32Array");
    ok(result.lse.data instanceof Float32Array, "lse.data is no Float32Array");
    equal(result.out.data.length, product(result.out.shape), "out.data.length");
    const outcome: Outcome = {
      out: toBhsd(result.out.data, layout, [batch, numHeads, qLen, valueHeadDim]),
      lse: result.lse.data,
    };
    if (!weights) return outcome;
    ok(result.weights, "weights are missing");
    sameList(result.weights.shape, [...rows, kvLen], "weights.shape");
    ok(result.weights.data instanceof Float32Array, "weights.data is no Float32Array");
    return { ...outcome, weights: result.weights.data };
  } finally {
    for (const tensor of resident) tensor.dispose();
  }
}
