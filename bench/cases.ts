/** What is measured. Every case says in words what it is; its name is what `--filter` looks at. */
import { CACHE_CASES } from "./attention/cache-cases.ts";
import { ATTENTION_CASES } from "./attention/cases.ts";
import type { BenchCase } from "./case.ts";
import { ADDITIVE } from "./operators/additive.ts";
import { KERNEL_REGRESSION } from "./operators/kernel-regression.ts";
import { LAYER_NORM } from "./operators/layer-norm.ts";
import { MATRIX } from "./operators/matrix.ts";
import { POOLING } from "./operators/pooling.ts";
import { POSITIONS } from "./operators/positions.ts";
import { RELATIVE } from "./operators/relative.ts";
import { SOFTMAX } from "./operators/softmax.ts";
import { VISION } from "./operators/vision.ts";

export const OPERATOR_CASES: readonly BenchCase[] = [
  ...ADDITIVE,
  ...MATRIX,
  ...SOFTMAX,
  ...LAYER_NORM,
  ...POOLING,
  ...KERNEL_REGRESSION,
  ...POSITIONS,
  ...RELATIVE,
  ...VISION,
];

export const CASES: readonly BenchCase[] = [...ATTENTION_CASES, ...CACHE_CASES, ...OPERATOR_CASES];

/** Stands for all that are not attention itself on the command line. */
export const GROUP = "operators";

/** The cases whose names contain a text, and those they are set against. */
export function casesLike(text: string): BenchCase[] {
  const named = text === GROUP ? OPERATOR_CASES : CASES.filter(({ name }) => name.includes(text));
  const needed = new Set(named.flatMap(({ name, against }) => [name, ...(against ? [against.name] : [])]));
  return CASES.filter(({ name }) => needed.has(name));
}
