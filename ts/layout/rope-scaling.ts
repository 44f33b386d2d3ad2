/**
 * The scalings of rotary frequencies, with the names that configurations of models use.
 */

import { optionError, rangeError, type SaccadeRangeError } from "../errors.ts";
import { proveBoolean, proveWord, readOptions } from "./options.ts";
import { proveFloats, proveNumber } from "./shape.ts";

/**
 * How rotary frequencies are changed for sequences longer than those of training. Names and meanings are those of the
 * `rope_scaling` of model configurations, in camel case.
 *
 * - `"linear"`: positions are divided by `factor` (Chen et al., "Extending Context Window of Large Language Models via Positional
 *   Interpolation", 2023).
 * - `"ntk"`: the base becomes `base * factor^(d / (d - 2))`, d = rotaryDim (NTK-aware; bloc97 2023).
 * - `"dynamic"`: the same with `factor * L / max - (factor - 1)` once the sequence length L passes `maxPositionEmbeddings`.
 * - `"yarn"`: slow pairs are divided, fast ones kept, a ramp between; cosine and sine are multiplied by an attention factor (Peng et
 *   al., "YaRN", 2023).
 * - `"llama3"`: the same by wave length (Grattafiori et al., "The Llama 3 Herd of Models", 2024).
 * - `"longrope"`: each pair has a divisor, one list for sequences up to the length of training, one for longer ones (Ding et al.,
 *   "LongRoPE", 2024).
 */
export type RopeScaling =
  | { readonly type: "linear" | "ntk"; readonly factor: number }
  | { readonly type: "dynamic"; readonly factor: number; readonly maxPositionEmbeddings: number }
  | {
      readonly type: "yarn";
      readonly factor: number;
      readonly originalMaxPositionEmbeddings: number;
      /** Turns over the trained length from which on a pair is kept. Default 32. */
      readonly betaFast?: number | undefined;
      /** Turns up to which a pair is divided. Default 1. */
      readonly betaSlow?: number | undefined;
      /** Default `0.1 ln(factor) + 1`, or what mscale and mscaleAllDim say. */
      readonly attentionFactor?: number | undefined;
      readonly mscale?: number | undefined;
      readonly mscaleAllDim?: number | undefined;
      /** Whether the ends of the ramp are rounded to whole pairs. Default true. */
      readonly truncate?: boolean | undefined;
    }
  | {
      readonly type: "llama3";
      readonly factor: number;
      readonly originalMaxPositionEmbeddings: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
    }
  | {
      readonly type: "longrope";
      /** rotaryDim / 2 divisors each, at least 1/2. */
      readonly shortFactor: ArrayLike<number>;
      readonly longFactor: ArrayLike<number>;
      readonly originalMaxPositionEmbeddings: number;
      /** The model's length by that of training, which sets the attention factor. Default 1. */
      readonly factor?: number | undefined;
      /** Default `sqrt(1 + ln(factor) / ln(originalMaxPositionEmbeddings))`. */
      readonly attentionFactor?: number | undefined;
    };

/** A scaling as the wasm takes it. */
export interface ScalingCall {
  readonly number: number;
  /** Factor, length, both limits, attention factor (0: its own), mscale, mscaleAllDim. */
  readonly floats: readonly number[];
  readonly truncate: boolean;
  readonly factors: Float32Array<ArrayBuffer> | undefined;
}

/** In the order of the wasm's numbers, from 1. */
const TYPES = ["linear", "ntk", "dynamic", "yarn", "llama3", "longrope"] as const;

const ORIGINAL = "originalMaxPositionEmbeddings";

const ALL = [
  "type",
  "factor",
  "maxPositionEmbeddings",
  ORIGINAL,
  "betaFast",
  "betaSlow",
  "attentionFactor",
  "mscale",
  "mscaleAllDim",
  "truncate",
  "lowFreqFactor",
  "highFreqFactor",
  "shortFactor",
  "longFactor",
] as const;

type Name = (typeof ALL)[number];

const NAMES: Readonly<Record<(typeof TYPES)[number], readonly Name[]>> = {
  linear: ["factor"],
  ntk: ["factor"],
  dynamic: ["factor", "maxPositionEmbeddings"],
  yarn: ["factor", ORIGINAL, "betaFast", "betaSlow", "attentionFactor", "mscale", "mscaleAllDim", "truncate"],
  llama3: ["factor", ORIGINAL, "lowFreqFactor", "highFreqFactor"],
  longrope: ["factor", ORIGINAL, "shortFactor", "longFactor", "attentionFactor"],
};

const NONE: ScalingCall = { number: 0, floats: [1, 1, 1, 1, 0, 0, 0], truncate: true, factors: undefined };

/** Reads and proves a scaling. */
export function resolveScaling(value: unknown, rotaryDim: number, base: number, caller: string): ScalingCall {
  if (value === undefined) return NONE;
  const read = readOptions(value, ALL, `${caller}: options.scaling`);
  const type = proveWord(read.type, TYPES, caller, "scaling.type");
  const foreign = ALL.find((name) => name !== "type" && read[name] !== undefined && !NAMES[type].includes(name));
  if (foreign !== undefined) {
    throw optionError(
      caller,
      `options.scaling.${foreign} is given, but a scaling of type ${JSON.stringify(type)} has none`,
    );
  }
  const number = (name: Name, least: number, fallback?: number): number =>
    read[name] === undefined && fallback !== undefined
      ? fallback
      : proveAtLeast(proveNumber(read[name], caller, `options.scaling.${name}`), least, caller, name);
  const pairs = rotaryDim / 2;
  const limits = limitsOf(type, number, caller);
  const longrope = type === "longrope";
  if ((type === "ntk" || type === "dynamic") && pairs === 1) {
    throw wrong(caller, `options.scaling.type is ${JSON.stringify(type)}, which needs a rotaryDim of at least 4`);
  }
  if (type === "yarn" && base === 1) throw wrong(caller, "options.base is 1; YaRN needs a larger one");
  const length = type === "dynamic" ? "maxPositionEmbeddings" : ORIGINAL;
  const least = longrope ? 2 : 1;
  return {
    number: TYPES.indexOf(type) + 1,
    floats: [
      number("factor", 1, longrope ? 1 : undefined),
      NAMES[type].includes(length) ? number(length, least) : 1,
      ...limits,
      ...(["attentionFactor", "mscale", "mscaleAllDim"] as const).map((name) => number(name, 0, 0)),
    ],
    truncate: read.truncate === undefined || proveBoolean(read.truncate, caller, "scaling.truncate"),
    factors: longrope ? divisors([read.shortFactor, read.longFactor], pairs, caller) : undefined,
  };
}

function limitsOf(
  type: (typeof TYPES)[number],
  number: (name: Name, least: number, fallback?: number) => number,
  caller: string,
): readonly [number, number] {
  if (type === "yarn") return [number("betaFast", Number.MIN_VALUE, 32), number("betaSlow", Number.MIN_VALUE, 1)];
  if (type !== "llama3") return [1, 1];
  const low = number("lowFreqFactor", Number.MIN_VALUE);
  const high = number("highFreqFactor", Number.MIN_VALUE);
  if (low < high) return [low, high];
  throw wrong(caller, `options.scaling.highFreqFactor is ${high}; expected more than lowFreqFactor, which is ${low}`);
}

/** The divisors of a short sequence, then of a long one. At least 1/2 each: no angle may pass what is reduced exactly. */
function divisors(lists: readonly unknown[], pairs: number, caller: string): Float32Array<ArrayBuffer> {
  const all = new Float32Array(2 * pairs);
  lists.forEach((list, index) => {
    const name = `options.scaling.${index === 0 ? "shortFactor" : "longFactor"}`;
    const floats = proveFloats(list, pairs, caller, name, "", "one per pair of columns");
    const low = floats.findIndex((x) => !(x >= 0.5 && x < Number.POSITIVE_INFINITY));
    if (low >= 0) throw wrong(caller, `${name}[${low}] is ${floats[low]}; expected a number from 0.5 up`);
    all.set(floats, index * pairs);
  });
  return all;
}

function proveAtLeast(value: number, least: number, caller: string, name: string): number {
  if (value >= least) return value;
  const expected = least === Number.MIN_VALUE ? "more than 0" : `at least ${least}`;
  throw wrong(caller, `options.scaling.${name} is ${value}; expected ${expected}`);
}

function wrong(caller: string, message: string): SaccadeRangeError {
  return rangeError(caller, message);
}
