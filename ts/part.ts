/**
 * A part of an attention call: the unnormalised states of a shard of the keys, as plain data, so that it can be posted
 * to a worker, stored, or sent as bytes.
 */

/** Keys of a block of 64 that the part shares with a neighbour: it ships what it knows of them. */
export interface AttentionPartEdge {
  /** The first of these keys. */
  readonly kvStart: number;
  /** One past the last. */
  readonly kvEnd: number;
  /** Scores in base 2, `[batch, numHeads, qLen, kvEnd - kvStart]`; -Infinity where hidden. */
  readonly scores: Float32Array;
  /** Value rows, `[batch, numKvHeads, kvEnd - kvStart, valueHeadDim]`. */
  readonly values: Float32Array;
}

/** What {@link attentionPartial} gives and {@link mergePartials} takes. Nothing in it is meant to be changed. */
export interface AttentionPart {
  /** The numeric profile its numbers follow; parts of different profiles do not mix. */
  readonly profile: string;
  /** 16 hex digits over everything of the call but its keys and values: parts of different calls do not mix. */
  readonly fingerprint: string;
  /** The first key it holds. */
  readonly kvStart: number;
  /** One past the last key it holds. */
  readonly kvEnd: number;
  /** All keys of the call. */
  readonly kvTotal: number;
  /** Order of the axes of the query. */
  readonly layout: "bshd" | "bhsd";
  /** Axes of the query: 4, 3 (without batch) or 2 (without heads too). */
  readonly rank: number;
  readonly batch: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly qLen: number;
  readonly valueHeadDim: number;
  /** One logit per query head; applied once, when parts are merged. */
  readonly sinks: Float32Array | undefined;
  /** Valid query rows per batch row. */
  readonly qLengths: Uint32Array | undefined;
  /** Largest scores of the finished subtrees, `[subtrees, batch, numHeads, qLen]`. */
  readonly m: Float32Array;
  /** Their sums of exponentials, of the same shape. */
  readonly l: Float32Array;
  /** Their weighted sums of values, `[subtrees, batch, numHeads, qLen, valueHeadDim]`. */
  readonly o: Float32Array;
  /** The open block on the left, if any. */
  readonly left: AttentionPartEdge | undefined;
  /** The open block on the right, if any. */
  readonly right: AttentionPartEdge | undefined;
}
