/** Attention for libraries that have none: its two products, the softmax between them, and what is added before it. */
import type { AttentionTask, Numbers } from "../peers/task.ts";
import { arranged, matricesOf, reshaped, transposed } from "./arrange.ts";

/** Operands of the products; a group's query heads are rows of one. */
export interface Products {
  /** Rows, keys, values and what is added. */
  readonly whole: readonly Numbers[];
  /** The same with keys as the right operand of a product. */
  readonly transposed: readonly Numbers[];
  /** Those for every head by itself: a library may know a faster product of two matrices than of many at once. */
  readonly byHead: readonly (readonly Numbers[])[];
  readonly scale: number;
  /** The result in the task's layout. */
  readonly read: (out: Float32Array<ArrayBuffer>) => Float32Array;
}

/** Null where the scores are changed otherwise, or what is added differs between the heads of a group. */
export function productsOf(task: AttentionTask): Products | null {
  const { spec } = task;
  const { batch, numHeads, numKvHeads, qLen, headDim, valueHeadDim } = spec;
  const bias = task.bias();
  if (spec.softcap !== undefined || (bias && numHeads !== numKvHeads)) return null;
  const inHeads = (each: Numbers) => arranged(each, spec.layout, "bhsd");
  const rows = reshaped(inHeads(task.query), [batch, numKvHeads, (numHeads / numKvHeads) * qLen, headDim]);
  const [key, value] = [inHeads(task.key), inHeads(task.value)];
  const turned = transposed(key);
  const rest = [value, ...(bias ? [bias] : [])];
  const matrices = [rows, turned, value].map(matricesOf);
  const [batches, heads] = bias?.shape ?? [1, 1];
  const added = bias && matricesOf(bias);
  const ofHead = (i: number) =>
    (batches === 1 ? 0 : Math.floor(i / numHeads)) * heads! + (heads === 1 ? 0 : i % numHeads);
  return {
    whole: [rows, key, ...rest],
    transposed: [rows, turned, ...rest],
    byHead: matrices[0]!.map((_, i) => [...matrices.map((each) => each[i]!), ...(added ? [added[ofHead(i)]!] : [])]),
    scale: 1 / Math.sqrt(headDim),
    read: (out) => arranged({ data: out, shape: [batch, numHeads, qLen, valueHeadDim] }, "bhsd", spec.layout).data,
  };
}
