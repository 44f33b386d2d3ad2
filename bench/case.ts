/** The form of a case of attention. */

import type { CacheDType } from "saccade";

/** What hides keys or changes scores, in few words; the tensors are painted for the run. */
export interface Extras {
  readonly window?: { readonly left?: number; readonly right?: number };
  /** Block-diagonal: so many documents of equal length, as a BitMask. */
  readonly documents?: number;
  /** A boolean mask `[qLen, kvLen]` that shows so many of 256 keys, at random. */
  readonly randomMask?: number;
  /** A full float32 bias `[numHeads, qLen, kvLen]`. */
  readonly bias?: true;
  readonly alibi?: true;
  readonly softcap?: number;
}

export interface Case extends Extras {
  readonly name: string;
  readonly words: string;
  readonly layout: "bshd" | "bhsd";
  readonly batch: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly qLen: number;
  readonly kvLen: number;
  readonly headDim: number;
  readonly valueHeadDim: number;
  readonly causal: boolean;
  readonly kvLengths?: readonly number[];
  /** Keys and values lie in a KvCache of this dtype. */
  readonly cache?: CacheDType;
  /** The case without what this one adds, and how much of its time this one may take at most. */
  readonly against?: { readonly name: string; readonly goal?: number };
}
