/**
 * What was passed to `attention`, read and not yet proved.
 */

import type { FloatDType } from "../dtype.ts";
import type { BoundRule } from "../mask/rule.ts";
import type { TAP_STAGES } from "../wasm/abi.ts";
import type { Window } from "../wasm/call.ts";
import type { Layout } from "./axes.ts";
import type { CapturedTensor } from "./tensor-like.ts";

/** Which weights are asked for. */
export type WantedWeights =
  | "full"
  | "head-mean"
  | { readonly rows: readonly number[] }
  | { readonly topK: number }
  | undefined;

/** Everything that was passed, each property read once. */
export interface CapturedAttention {
  readonly caller: string;
  query: CapturedTensor;
  key: CapturedTensor;
  value: CapturedTensor;
  engine: unknown;
  layout: Layout;
  scale: number | undefined;
  causal: boolean;
  qOffset: readonly number[] | number | "bottom-right" | "top-left" | undefined;
  window: Window | undefined;
  mask: CapturedTensor | undefined;
  rule: BoundRule | undefined;
  bias: CapturedTensor | undefined;
  kvLengths: readonly number[] | undefined;
  qLengths: readonly number[] | undefined;
  cuQLens: readonly number[] | undefined;
  cuKvLens: readonly number[] | undefined;
  alibiSlopes: Float32Array | "auto" | undefined;
  softcap: number | undefined;
  sinks: Float32Array | undefined;
  returnLse: boolean;
  returnWeights: WantedWeights;
  tap: (typeof TAP_STAGES)[number] | undefined;
  outDtype: FloatDType | undefined;
  onEmptyRow: "zero" | "throw";
  out: CapturedTensor | undefined;
  outLse: CapturedTensor | undefined;
  outWeights: CapturedTensor | undefined;
  /** The target of top-k indices. */
  outIndices: CapturedTensor | undefined;
  outScores: CapturedTensor | undefined;
  /** The very objects given as targets: they are the result. */
  targets: Readonly<Record<"out" | "lse" | "weights" | "scores", unknown>>;
}
