/**
 * Heavy calls that give a promise and leave the thread free: asynchronous twins of the direct functions.
 *
 * A twin takes the arguments of its function, and `signal` and `onProgress` among the options; what its promise gives is what
 * the function returns, to the bit. Inputs are read before the call returns; resident Tensors are read where they lie, when
 * their turn comes. On one thread the work is cut into slices of about 5 ms, between which the event loop turns; with
 * threads the others compute and this one helps. Calls to one engine run one after the other, in the order in which they were
 * made. Direct calls can be made in between, but for those that touch what an asynchronous call is still to write, or write what
 * it is still to read: those are refused with `ERR_SACCADE_BUSY`.
 */

import { later } from "./async/later.ts";
import type { Twin } from "./async/types.ts";
import { attention } from "./attention.ts";
import { fitWidth, nadarayaWatson } from "./kernel-regression.ts";
import { layerNorm, rmsNorm } from "./layer-norm.ts";
import { linear } from "./linear.ts";
import { attentionPartial, mergePartials } from "./partial.ts";
import { attentionPooling } from "./pooling.ts";
import { addSinusoidalPositions, embedding, sinusoidalPositions } from "./positions.ts";
import { shawRelative, t5RelativeBias, transformerXlAttention } from "./relative.ts";
import { rope } from "./rotary.ts";
import { selfAttention } from "./self-attention.ts";
import { logSumExp, maskedSoftmax } from "./softmax.ts";
import { temporalAttention, temporalSelfAttention } from "./temporal.ts";

declare const twin: Twin;

/** Never called: the types of the twins. */
const twins = () => ({
  attention: twin(attention),
  attentionPartial: twin(attentionPartial),
  mergePartials: twin(mergePartials),
  attentionPooling: twin(attentionPooling),
  selfAttention: twin(selfAttention),
  nadarayaWatson: twin(nadarayaWatson),
  linear: twin(linear),
  maskedSoftmax: twin(maskedSoftmax),
  logSumExp: twin(logSumExp),
  shawRelative: twin(shawRelative),
  transformerXlAttention: twin(transformerXlAttention),
  temporalSelfAttention: twin(temporalSelfAttention),
  fitWidth: twin(fitWidth),
  layerNorm: twin(layerNorm),
  rmsNorm: twin(rmsNorm),
  rope: twin(rope),
  sinusoidalPositions: twin(sinusoidalPositions),
  addSinusoidalPositions: twin(addSinusoidalPositions),
  embedding: twin(embedding),
  t5RelativeBias: twin(t5RelativeBias),
  temporalAttention: twin(temporalAttention),
});

type Twins = ReturnType<typeof twins>;

/**
 * The asynchronous twin of {@link attention}: the same result, while the page or program goes on.
 *
 * @throws (the promise rejects) as {@link attention}; the signal's reason; what `onProgress` throws; SaccadeError
 *   `ERR_SACCADE_DISPOSED` where the engine is disposed of in the meantime
 *
 * @example
 * ```ts
 * import { attentionAsync } from "saccade";
 *
 * const x = { data: new Float32Array([1, 2]), shape: [1, 2] };
 * const { out } = await attentionAsync(x, x, x, { onProgress: ({ done, total }) => console.log(done / total) });
 * ```
 */
export const attentionAsync: Twins["attention"] = (...args: unknown[]) =>
  later(attention, 3, "attention", args) as Promise<never>;

/** The asynchronous twin of {@link attentionPartial}. */
export const attentionPartialAsync: Twins["attentionPartial"] = (...args: unknown[]) =>
  later(attentionPartial, 3, "attentionPartial", args) as Promise<never>;

/** The asynchronous twin of {@link mergePartials}. */
export const mergePartialsAsync: Twins["mergePartials"] = (...args: unknown[]) =>
  later(mergePartials, 1, "mergePartials", args) as Promise<never>;

/** The asynchronous twin of {@link attentionPooling}. */
export const attentionPoolingAsync: Twins["attentionPooling"] = (...args: unknown[]) =>
  later(attentionPooling, 3, "attentionPooling", args) as Promise<never>;

/** The asynchronous twin of {@link selfAttention}. */
export const selfAttentionAsync: Twins["selfAttention"] = (...args: unknown[]) =>
  later(selfAttention, 1, "selfAttention", args) as Promise<never>;

/** The asynchronous twin of {@link nadarayaWatson}. */
export const nadarayaWatsonAsync: Twins["nadarayaWatson"] = (...args: unknown[]) =>
  later(nadarayaWatson, 3, "nadarayaWatson", args) as Promise<never>;

/** The asynchronous twin of {@link linear}. */
export const linearAsync: Twins["linear"] = (...args: unknown[]) => later(linear, 2, "linear", args) as Promise<never>;

/** The asynchronous twin of {@link maskedSoftmax}. */
export const maskedSoftmaxAsync: Twins["maskedSoftmax"] = (...args: unknown[]) =>
  later(maskedSoftmax, 1, "maskedSoftmax", args) as Promise<never>;

/** The asynchronous twin of {@link logSumExp}. */
export const logSumExpAsync: Twins["logSumExp"] = (...args: unknown[]) =>
  later(logSumExp, 1, "logSumExp", args) as Promise<never>;

/** The asynchronous twin of {@link shawRelative}. */
export const shawRelativeAsync: Twins["shawRelative"] = (...args: unknown[]) =>
  later(shawRelative, 3, "shawRelative", args) as Promise<never>;

/** The asynchronous twin of {@link transformerXlAttention}. */
export const transformerXlAttentionAsync: Twins["transformerXlAttention"] = (...args: unknown[]) =>
  later(transformerXlAttention, 3, "transformerXlAttention", args) as Promise<never>;

/** The asynchronous twin of {@link temporalSelfAttention}. */
export const temporalSelfAttentionAsync: Twins["temporalSelfAttention"] = (...args: unknown[]) =>
  later(temporalSelfAttention, 1, "temporalSelfAttention", args) as Promise<never>;

/** The asynchronous twin of {@link fitWidth}. */
export const fitWidthAsync: Twins["fitWidth"] = (...args: unknown[]) =>
  later(fitWidth, 2, "fitWidth", args) as Promise<never>;

/** The asynchronous twin of {@link layerNorm}. */
export const layerNormAsync: Twins["layerNorm"] = (...args: unknown[]) =>
  later(layerNorm, 1, "layerNorm", args) as Promise<never>;

/** The asynchronous twin of {@link rmsNorm}. */
export const rmsNormAsync: Twins["rmsNorm"] = (...args: unknown[]) =>
  later(rmsNorm, 1, "rmsNorm", args) as Promise<never>;

/** The asynchronous twin of {@link rope}. */
export const ropeAsync: Twins["rope"] = (...args: unknown[]) => later(rope, 1, "rope", args) as Promise<never>;

/** The asynchronous twin of {@link sinusoidalPositions}. */
export const sinusoidalPositionsAsync: Twins["sinusoidalPositions"] = (...args: unknown[]) =>
  later(sinusoidalPositions, 2, "sinusoidalPositions", args) as Promise<never>;

/** The asynchronous twin of {@link addSinusoidalPositions}. */
export const addSinusoidalPositionsAsync: Twins["addSinusoidalPositions"] = (...args: unknown[]) =>
  later(addSinusoidalPositions, 1, "addSinusoidalPositions", args) as Promise<never>;

/** The asynchronous twin of {@link embedding}. */
export const embeddingAsync: Twins["embedding"] = (...args: unknown[]) =>
  later(embedding, 2, "embedding", args) as Promise<never>;

/** The asynchronous twin of {@link t5RelativeBias}. */
export const t5RelativeBiasAsync: Twins["t5RelativeBias"] = (...args: unknown[]) =>
  later(t5RelativeBias, 1, "t5RelativeBias", args) as Promise<never>;

/** The asynchronous twin of {@link temporalAttention}. */
export const temporalAttentionAsync: Twins["temporalAttention"] = (...args: unknown[]) =>
  later(temporalAttention, 1, "temporalAttention", args) as Promise<never>;
