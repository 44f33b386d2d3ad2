/**
 * Exports of the package that have no asynchronous twin, and why. Everything else that can be called has one
 * (`list.test.ts`), and so does every new one, or it is written down here.
 */

/** No engine takes part: what is done is done in JavaScript. */
const NO_ENGINE = [
  ...["capabilities", "alibiSlopes", "compat"],
  ...["additive", "boxcar", "concat", "cosine", "dot", "epanechnikov", "gaussian", "general", "location", "mlp"],
  ...["scaledDot", "triangular", "Score"],
  ...["gumbel", "hardmax", "sample", "sigmoid", "softmax", "sparsemax", "sum", "threshold", "topK"],
  ...["SaccadeError", "SaccadeRangeError", "SaccadeTypeError"],
  ...["BitMask", "BitMask.ofRule", "BitMask.causal", "BitMask.window", "BitMask.prefixLm", "BitMask.document"],
  ...[
    "BitMask.dilated",
    "BitMask.global",
    "BitMask.fromTensor",
    "BitMask.toTensor",
    "BitMask.and",
    "BitMask.or",
    "BitMask.not",
  ],
  // Its constructor refuses to be called.
  "Tensor",
  ...["encodePartial", "decodePartial"],
] as const;

/** An engine is made, where the known answer is computed: in a few milliseconds at most. */
const MAKES_ENGINE = ["init", "initSync", "createEngine"] as const;

/** Moves no elements, or gives memory back. */
const AT_ONCE = [
  ...["planAttention", "Tensor.empty", "Tensor.view", "KvCache", "KvCache.truncate", "KvCache.fork", "KvCache.reorder"],
  ...["Tensor.dispose", "KvCache.dispose", "Linear.dispose", "LayerNorm.dispose", "GRU.dispose"],
  ...["MultiHeadAttention.dispose", "BahdanauDecoder.dispose"],
] as const;

/** Reads what it is given once, as every call must before it returns, and does little with it: a twin could put off no more than half of its time. */
const READS_ONCE = [
  "mergeStates",
  ...["Tensor.from", "Tensor.zeros", "Tensor.toPlain"],
  ...["Linear", "LayerNorm", "GRU", "MultiHeadAttention", "MultiHeadAttention.fromStateDict", "BahdanauDecoder"],
] as const;

export const withoutTwin = { NO_ENGINE, MAKES_ENGINE, AT_ONCE, READS_ONCE } as const;

/** What an engine does without a twin: a worker has it all the same. */
export const directOnly: readonly string[] = [...AT_ONCE, ...READS_ONCE];
