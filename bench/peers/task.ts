/** What another library is asked, and what it gives back. */
import type { AttentionSpec } from "../attention/spec.ts";
import type { Placed } from "../case.ts";

/** Operands as plain numbers; the same in every run. */
export interface Numbers {
  readonly data: Float32Array<ArrayBuffer>;
  readonly shape: readonly number[];
}

/** Attention over operands in the layout of `spec`. */
export interface AttentionTask {
  readonly kind: "attention";
  readonly spec: AttentionSpec;
  readonly query: Numbers;
  readonly key: Numbers;
  readonly value: Numbers;
  /**
   * What is added to the scores, `[batch or 1, numHeads or 1, qLen, kvLen]`, -Infinity where a key is hidden; null where
   * nothing is. Given as a function, since few libraries need all of it at once.
   */
  readonly bias: () => Numbers | null;
}

/** Additive attention: tanh of the sum of query `[qLen, hidden]` and key `[kvLen, hidden]`, times v, softmax, times value. */
export interface AdditiveTask {
  readonly kind: "additive";
  readonly query: Numbers;
  readonly key: Numbers;
  readonly value: Numbers;
  readonly v: Numbers;
}

/** x `[rows, inner]` times the transpose of weight `[outer, inner]`. */
export interface LinearTask {
  readonly kind: "linear";
  readonly x: Numbers;
  readonly weight: Numbers;
}

export interface SoftmaxTask {
  readonly kind: "softmax";
  readonly x: Numbers;
  readonly axis: 0 | 1;
}

/** Over the last axis of x, times weight, plus bias. */
export interface LayerNormTask {
  readonly kind: "layer-norm";
  readonly x: Numbers;
  readonly weight: Numbers;
  readonly bias: Numbers;
  readonly epsilon: number;
}

export type Task = AttentionTask | AdditiveTask | LinearTask | SoftmaxTask | LayerNormTask;

/** One of several operators that give the same. */
export interface Way {
  /** The operators' names. */
  readonly how: string;
  readonly place: () => Promise<Placed> | Placed;
}

/** A row of the table: the fastest of some ways whose result is right. */
export interface Choice {
  /** Beside the library's name, where it has several rows for a case. */
  readonly label?: string;
  readonly ways: readonly Way[];
}

/** Another library. */
export interface Peer {
  readonly name: string;
  readonly version: string;
  /** On how many threads; one where nothing is said. */
  readonly threads?: number;
  /** Nothing where it has no such operator. */
  readonly choices: (task: Task) => readonly Choice[];
}
