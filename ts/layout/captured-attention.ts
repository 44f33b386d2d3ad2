/**
 * What was passed to `attention`, read and not yet proved.
 */

import type { FloatDType } from "../dtype.ts";
import type { BoundRule } from "../mask/rule.ts";
import type { Results, TapStage, WeightsKind, Window } from "../wasm/call.ts";
import type { Layout } from "./axes.ts";
import type { CapturedTensor } from "./tensor-like.ts";

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
  returnWeights: WeightsKind | undefined;
  tap: TapStage | undefined;
  outDtype: FloatDType | undefined;
  onEmptyRow: "zero" | "throw";
  /** Targets of the results. */
  out: Results<CapturedTensor>;
  /** The very objects given as targets: they are the result. Both targets of top-k weights are one object. */
  targets: Results<unknown>;
  /** Whether lists are among the options: they are proved once all others have been read. */
  hasLists: boolean;
}
