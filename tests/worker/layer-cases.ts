/** Every layer of `saccade/nn`, made in each way, with calls of each of its methods. Knows no test runner and no platform. */
import { counted } from "./cases.ts";

export type LayerName = "Linear" | "LayerNorm" | "GRU" | "MultiHeadAttention" | "BahdanauDecoder";

/** A call of a method. */
export interface LayerCall {
  readonly method: "forward" | "encode" | "step";
  readonly args: () => readonly unknown[];
}

export interface LayerCase {
  readonly layer: LayerName;
  /** A static method that makes it; else its constructor. */
  readonly by?: "fromStateDict";
  /** Arguments made anew for each layer, options last. */
  readonly args: () => readonly [...unknown[], options: object];
  readonly calls: readonly LayerCall[];
}

const forward = (args: () => readonly unknown[]): LayerCall => ({ method: "forward", args });

const gruWeights = () => ({
  "rnn.weight_ih_l0": counted(12, 3),
  "rnn.weight_hh_l0": counted(12, 4),
  "rnn.bias_ih_l0": counted(12),
  "rnn.weight_ih_l0_reverse": counted(12, 3),
  "rnn.weight_hh_l0_reverse": counted(12, 4),
});
const projections = () => ({
  wq: counted(8, 6),
  wk: counted(8, 6),
  wv: counted(8, 6),
  wo: counted(5, 8),
  bo: counted(5),
});
const attends = [
  forward(() => [counted(7, 6)]),
  forward(() => [counted(2, 3, 6), counted(2, 7, 6), undefined, { kvLengths: [7, 2], returnWeights: true }]),
  forward(() => [counted(7, 5)]),
  forward(() => [counted(7, 6), undefined, undefined, { causl: true }]),
];

export const layerCases: readonly LayerCase[] = [
  {
    layer: "Linear",
    args: () => [{ weight: counted(5, 3), bias: counted(5) }, { activation: "tanh" }],
    calls: [forward(() => [counted(2, 7, 3)]), forward(() => [counted(2, 4)]), forward(() => [counted(2, 3), 5])],
  },
  {
    layer: "LayerNorm",
    args: () => [new Map([["norm.weight", counted(6)]]), { prefix: "norm.", epsilon: 1e-3 }],
    calls: [forward(() => [counted(5, 6)]), forward(() => [counted(5, 7)]), forward(() => [counted(6), { outt: 1 }])],
  },
  {
    layer: "GRU",
    args: () => [gruWeights(), { prefix: "rnn." }],
    calls: [
      forward(() => [counted(2, 9, 3)]),
      forward(() => [counted(2, 9, 3), { h0: counted(2, 2, 4), lengths: [9, 4] }]),
      forward(() => [counted(9, 3)]),
      forward(() => [counted(2, 9, 3), { lengths: [10, 4] }]),
    ],
  },
  { layer: "MultiHeadAttention", args: () => [{ ...projections(), numHeads: 2 }], calls: attends },
  {
    layer: "MultiHeadAttention",
    args: () => [{ ...projections(), v: counted(2, 4), score: "additive", numHeads: 2 }],
    calls: attends,
  },
  {
    layer: "MultiHeadAttention",
    by: "fromStateDict",
    args: () => [
      new Map([
        ["attn.in_proj_weight", counted(24, 8)],
        ["attn.in_proj_bias", counted(24)],
        ["attn.out_proj.weight", counted(8, 8)],
      ]),
      { numHeads: 4, prefix: "attn." },
    ],
    calls: [forward(() => [counted(3, 5, 8), undefined, undefined, { causal: true, returnWeights: "head-mean" }])],
  },
  {
    layer: "BahdanauDecoder",
    args: () => [
      {
        ...{ wq: counted(6, 4), wk: counted(6, 5), v: counted(6), bias: counted(6) },
        gru: { weight_ih: counted(12, 8), weight_hh: counted(12, 4), bias_hh: counted(12) },
      },
    ],
    calls: [
      { method: "step", args: () => [counted(2, 3), counted(2, 4)] },
      { method: "encode", args: () => [counted(2, 7, 5), { kvLengths: [7, 3] }] },
      { method: "step", args: () => [counted(2, 3), counted(2, 4)] },
      { method: "step", args: () => [counted(2, 3), counted(2, 5)] },
      { method: "encode", args: () => [counted(2, 7, 4)] },
      { method: "encode", args: () => [counted(1, 2, 5)] },
      { method: "step", args: () => [counted(1, 3), counted(1, 4)] },
    ],
  },
  // Refused when they are made.
  { layer: "Linear", args: () => [{ bias: counted(5) }, {}], calls: [] },
  { layer: "GRU", args: () => [gruWeights(), {}], calls: [] },
  { layer: "MultiHeadAttention", args: () => [{ ...projections() }], calls: [] },
];
