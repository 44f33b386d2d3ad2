/**
 * Layers that live in a worker: those of `saccade/nn`, each with its weights in the worker's memory.
 */

import type { BahdanauDecoder, BahdanauDecoderWeights } from "../nn/bahdanau-decoder.ts";
import type { GRU, GRUOptions } from "../nn/gru.ts";
import type { LayerNorm, LayerNormLayerOptions } from "../nn/layer-norm.ts";
import type { Linear, LinearLayerOptions } from "../nn/linear.ts";
import type {
  MultiHeadAttention,
  MultiHeadAttentionOptions,
  MultiHeadAttentionStateOptions,
  MultiHeadAttentionWeights,
} from "../nn/multi-head-attention.ts";
import type { StateDict } from "../nn/state-dict.ts";
import type { CallName, WorkerCallOptions } from "./functions.ts";
import { Handle, type HandleOwner } from "./tensor.ts";

/** What a layer says of itself, by its name: sent once, when it is made. */
export const LAYER_FACTS = {
  Linear: ["inFeatures", "outFeatures"],
  LayerNorm: ["features"],
  GRU: ["numLayers", "bidirectional", "inputSize", "hiddenSize"],
  MultiHeadAttention: ["numHeads", "numKvHeads"],
  BahdanauDecoder: ["hiddenSize", "encoderSize", "embeddingSize"],
} as const;

/** A layer by its name. */
export type LayerName = keyof typeof LAYER_FACTS;

/** A method's name in the clothes of the method. */
type Clothed = <Layer, Name extends keyof Layer & string>(layer: LayerName, name: Name) => Layer[Name];
const methodOf: Clothed = (layer, name) => `${layer}.${name}` as never;

class WorkerLayer extends Handle {
  /** @internal */
  constructor(owner: HandleOwner, id: number, facts: object) {
    super(owner, id);
    Object.assign(this, facts);
  }
}

/** A `Linear` in a worker: each method gives a promise. */
export class WorkerLinear extends WorkerLayer {
  declare readonly inFeatures: number;
  declare readonly outFeatures: number;
  /** As `Linear.forward`. */
  readonly forward = this.promised(methodOf<Linear, "forward">("Linear", "forward"));
}

/** A `LayerNorm` in a worker: each method gives a promise. */
export class WorkerLayerNorm extends WorkerLayer {
  declare readonly features: number;
  /** As `LayerNorm.forward`. */
  readonly forward = this.promised(methodOf<LayerNorm, "forward">("LayerNorm", "forward"));
}

/** A `GRU` in a worker: each method gives a promise. */
export class WorkerGRU extends WorkerLayer {
  declare readonly numLayers: number;
  declare readonly bidirectional: boolean;
  declare readonly inputSize: number;
  declare readonly hiddenSize: number;
  /** As `GRU.forward`. */
  readonly forward = this.promised(methodOf<GRU, "forward">("GRU", "forward"));
}

/** A `MultiHeadAttention` in a worker: each method gives a promise. */
export class WorkerMultiHeadAttention extends WorkerLayer {
  declare readonly numHeads: number;
  declare readonly numKvHeads: number;
  /** As `MultiHeadAttention.forward`. */
  readonly forward = this.promised(methodOf<MultiHeadAttention, "forward">("MultiHeadAttention", "forward"));
}

/** A `BahdanauDecoder` in a worker: each method gives a promise. */
export class WorkerBahdanauDecoder extends WorkerLayer {
  declare readonly hiddenSize: number;
  declare readonly encoderSize: number;
  declare readonly embeddingSize: number;
  /** As `BahdanauDecoder.encode`. */
  readonly encode = this.promised(methodOf<BahdanauDecoder, "encode">("BahdanauDecoder", "encode"));
  /** As `BahdanauDecoder.step`. */
  readonly step = this.promisedPlain(methodOf<BahdanauDecoder, "step">("BahdanauDecoder", "step"));
}

const CLASSES = {
  Linear: WorkerLinear,
  LayerNorm: WorkerLayerNorm,
  GRU: WorkerGRU,
  MultiHeadAttention: WorkerMultiHeadAttention,
  BahdanauDecoder: WorkerBahdanauDecoder,
} as const;

/** The handle of a layer that has been made in the worker. */
export function layerHandle(name: LayerName, owner: HandleOwner, id: number, facts: unknown): Handle {
  return new CLASSES[name](owner, id, facts as object);
}

type Given<Options> = Omit<Options, "engine"> & WorkerCallOptions;

/** Makes what makes layers of what asks the worker. */
export const layersOf = (ask: (name: CallName, args: readonly unknown[]) => Promise<unknown>) =>
  Object.freeze({
    Linear: Object.freeze({
      create: (weights: StateDict, options?: Given<LinearLayerOptions>) =>
        ask("nn.Linear", [weights, options]) as Promise<WorkerLinear>,
    }),
    LayerNorm: Object.freeze({
      create: (weights: StateDict, options?: Given<LayerNormLayerOptions>) =>
        ask("nn.LayerNorm", [weights, options]) as Promise<WorkerLayerNorm>,
    }),
    GRU: Object.freeze({
      create: (weights: StateDict, options?: Given<GRUOptions>) =>
        ask("nn.GRU", [weights, options]) as Promise<WorkerGRU>,
    }),
    MultiHeadAttention: Object.freeze({
      create: (weights: Given<MultiHeadAttentionWeights & MultiHeadAttentionOptions>) =>
        ask("nn.MultiHeadAttention", [weights]) as Promise<WorkerMultiHeadAttention>,
      fromStateDict: (dict: StateDict, options: Given<MultiHeadAttentionStateOptions>) =>
        ask("nn.MultiHeadAttention.fromStateDict", [dict, options]) as Promise<WorkerMultiHeadAttention>,
    }),
    BahdanauDecoder: Object.freeze({
      create: (weights: Given<BahdanauDecoderWeights>) =>
        ask("nn.BahdanauDecoder", [weights]) as Promise<WorkerBahdanauDecoder>,
    }),
  });
