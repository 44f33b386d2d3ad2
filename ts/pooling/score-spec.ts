/**
 * What a score is, as plain data.
 */

import type { Activation } from "../linear.ts";
import type { Weight } from "./weight.ts";

/** Names of the scores. */
export type ScoreKind =
  | "dot"
  | "scaledDot"
  | "cosine"
  | "general"
  | "additive"
  | "concat"
  | "mlp"
  | "gaussian"
  | "boxcar"
  | "triangular"
  | "epanechnikov"
  | "location";

/** A hidden layer after the first. */
export interface DeepLayer {
  readonly w: Weight;
  readonly bias: Weight | undefined;
}

/** What a score is: how features come of query and key, and which of the wasm's scores is taken of them. */
export interface ScoreSpec {
  readonly kind: ScoreKind;
  /** The wasm's number. */
  readonly number: number;
  /** Scale or width. */
  readonly parameter: number;
  /** Whether rows of query and key are scaled to unit length. */
  readonly unit: boolean;
  /** Projections `[features, in]`. */
  readonly query: Weight | undefined;
  readonly key: Weight | undefined;
  /** A projection of query and key one behind the other, `[features, queryDim + keyDim]`. */
  readonly both: Weight | undefined;
  /** In place of the keys, `[positions, queryDim]`. */
  readonly positions: Weight | undefined;
  /** Added to the query's features. */
  readonly bias: Weight | undefined;
  /** The weights of the last features. */
  readonly last: Weight | undefined;
  readonly deep: readonly DeepLayer[];
  readonly constant: Weight | undefined;
  readonly activation: Activation;
}

/** The brand by which the inner layers know a score: its class extends this one. It cannot be forged. */
export class ScoreHandle {
  readonly #spec: ScoreSpec;

  /** @internal */
  constructor(spec: ScoreSpec) {
    this.#spec = spec;
  }

  /** @internal What a score is; undefined for anything else. */
  static specOf(value: unknown): ScoreSpec | undefined {
    return typeof value === "object" && value !== null && #spec in value ? value.#spec : undefined;
  }
}
