/**
 * The functions of `saccade/vision`, answered by a worker.
 */

import { type Promised, seen } from "./functions.ts";

/** Makes them of what makes any function of a worker. */
export const visionOf = (promised: Promised) =>
  Object.freeze({
    channelAttention: promised(seen("channelAttention")),
    squeezeExcite: promised(seen("squeezeExcite")),
    spatialAttention: promised(seen("spatialAttention")),
    cbam: promised(seen("cbam")),
    eca: promised(seen("eca")),
    elementwiseAttention: promised(seen("elementwiseAttention")),
    spatialSoftmaxAttention: promised(seen("spatialSoftmaxAttention")),
    channelSoftmaxAttention: promised(seen("channelSoftmaxAttention")),
  });
