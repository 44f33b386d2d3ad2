/**
 * The asynchronous twins of the functions over feature maps: as those of the main entry, with `signal` and `onProgress` among the
 * options.
 */

import { later } from "../async/later.ts";
import type { Twin } from "../async/types.ts";
import { cbam, channelAttention, eca, elementwiseAttention, spatialAttention, squeezeExcite } from "./gates.ts";
import { channelSoftmaxAttention, spatialSoftmaxAttention } from "./softmax.ts";

declare const twin: Twin;

/** Never called: the types of the twins. */
const twins = () => ({
  channelAttention: twin(channelAttention),
  squeezeExcite: twin(squeezeExcite),
  spatialAttention: twin(spatialAttention),
  cbam: twin(cbam),
  eca: twin(eca),
  elementwiseAttention: twin(elementwiseAttention),
  spatialSoftmaxAttention: twin(spatialSoftmaxAttention),
  channelSoftmaxAttention: twin(channelSoftmaxAttention),
});

type Twins = ReturnType<typeof twins>;

/** The asynchronous twin of {@link channelAttention}. */
export const channelAttentionAsync: Twins["channelAttention"] = (...args: unknown[]) =>
  later(channelAttention, 1, "channelAttention", args) as Promise<never>;

/** The asynchronous twin of {@link squeezeExcite}. */
export const squeezeExciteAsync: Twins["squeezeExcite"] = (...args: unknown[]) =>
  later(squeezeExcite, 1, "squeezeExcite", args) as Promise<never>;

/** The asynchronous twin of {@link spatialAttention}. */
export const spatialAttentionAsync: Twins["spatialAttention"] = (...args: unknown[]) =>
  later(spatialAttention, 1, "spatialAttention", args) as Promise<never>;

/** The asynchronous twin of {@link cbam}. */
export const cbamAsync: Twins["cbam"] = (...args: unknown[]) => later(cbam, 1, "cbam", args) as Promise<never>;

/** The asynchronous twin of {@link eca}. */
export const ecaAsync: Twins["eca"] = (...args: unknown[]) => later(eca, 1, "eca", args) as Promise<never>;

/** The asynchronous twin of {@link elementwiseAttention}. */
export const elementwiseAttentionAsync: Twins["elementwiseAttention"] = (...args: unknown[]) =>
  later(elementwiseAttention, 1, "elementwiseAttention", args) as Promise<never>;

/** The asynchronous twin of {@link spatialSoftmaxAttention}. */
export const spatialSoftmaxAttentionAsync: Twins["spatialSoftmaxAttention"] = (...args: unknown[]) =>
  later(spatialSoftmaxAttention, 1, "spatialSoftmaxAttention", args) as Promise<never>;

/** The asynchronous twin of {@link channelSoftmaxAttention}. */
export const channelSoftmaxAttentionAsync: Twins["channelSoftmaxAttention"] = (...args: unknown[]) =>
  later(channelSoftmaxAttention, 1, "channelSoftmaxAttention", args) as Promise<never>;
