/**
 * How attention pooling makes weights of scores: descriptions, proved when they are made and again when they are used, so that one
 * that came through JSON or from another thread serves as well. The arithmetic is the crate's `ops/pooling/normalize`.
 */

import { argumentError, describe, rangeError, SaccadeRangeError, SaccadeTypeError } from "../errors.ts";
import { proveBoolean, readOptions, unknownOption } from "../layout/options.ts";

/** `w = p / sum p`, `p = exp(s / temperature)`. */
export interface Softmax {
  readonly kind: "softmax";
  readonly temperature: number;
}

/** `w = s / sum s`. */
export interface Sum {
  readonly kind: "sum";
}

/** 1 at the largest score. */
export interface Hardmax {
  readonly kind: "hardmax";
}

/** Softmax over the k largest scores. */
export interface TopK {
  readonly kind: "topK";
  readonly k: number;
}

/** Softmax without its small weights. */
export interface Threshold {
  readonly kind: "threshold";
  readonly threshold: number;
}

/** Keys drawn by their softmax weights. */
export interface Sample {
  readonly kind: "sample";
  readonly seed: number;
  readonly draws: number;
}

/** Softmax, or hardmax, of scores under Gumbel noise. */
export interface Gumbel {
  readonly kind: "gumbel";
  readonly seed: number;
  readonly temperature: number;
  readonly hard: boolean;
}

/** The point of the simplex nearest to the scores. */
export interface Sparsemax {
  readonly kind: "sparsemax";
}

/** `w = 1 / (1 + exp(-s))`, each key for itself. */
export interface Sigmoid {
  readonly kind: "sigmoid";
}

/** How scores become weights: what {@link softmax}, {@link sum} and the others give. */
export type Normalize = Softmax | Sum | Hardmax | TopK | Threshold | Sample | Gumbel | Sparsemax | Sigmoid;

/** In the order of the wasm's numbers. */
const KINDS = ["softmax", "sum", "hardmax", "topK", "threshold", "sample", "gumbel", "sparsemax", "sigmoid"] as const;

type Kind = (typeof KINDS)[number];
type Values = Partial<Record<"temperature" | "k" | "threshold" | "seed" | "draws" | "hard", unknown>>;

/** What each kind is described by. */
const FIELDS: { readonly [K in Kind]: readonly (keyof Values)[] } = {
  softmax: ["temperature"],
  sum: [],
  hardmax: [],
  topK: ["k"],
  threshold: ["threshold"],
  sample: ["seed", "draws"],
  gumbel: ["seed", "temperature", "hard"],
  sparsemax: [],
  sigmoid: [],
};

/** Draws of one row are counted in float32, which is exact up to here. */
const MOST_DRAWS = 2 ** 24;

/** Temperatures whose reciprocal is a normal float32 with room to spare. */
const COLDEST = 1e-38;
const HOTTEST = 1e38;

/** The description of a kind with these values, proved and frozen. */
function description(kind: Kind, values: Values, caller: string, prefix = ""): Normalize {
  const integer = (name: "k" | "seed" | "draws", from: number, to: number): number =>
    proveRange(values[name], "an integer", from, to, caller, prefix + name);
  const proved: Record<string, unknown> = { kind };
  for (const field of FIELDS[kind]) {
    const value = values[field];
    switch (field) {
      case "temperature":
        proved[field] =
          value === undefined ? 1 : proveRange(value, "a number", COLDEST, HOTTEST, caller, prefix + field);
        break;
      case "threshold":
        proved[field] = proveRange(value, "a number", 0, 1, caller, prefix + field);
        break;
      case "k":
        proved[field] = integer(field, 1, Number.MAX_SAFE_INTEGER);
        break;
      case "seed":
        proved[field] = integer(field, 0, Number.MAX_SAFE_INTEGER);
        break;
      case "draws":
        proved[field] = value === undefined ? 1 : integer(field, 1, MOST_DRAWS);
        break;
      case "hard":
        proved[field] = value === undefined ? false : proveBoolean(value, caller, field);
    }
  }
  return Object.freeze(proved) as unknown as Normalize;
}

function proveRange(
  value: unknown,
  what: "a number" | "an integer",
  from: number,
  to: number,
  caller: string,
  name: string,
): number {
  const bound = to === Number.MAX_SAFE_INTEGER ? "2^53 - 1" : String(to);
  const message = `${caller}: ${name} is ${describe(value)}; expected ${what} from ${from} to ${bound}`;
  if (typeof value !== "number") throw new SaccadeTypeError("ERR_SACCADE_ARGUMENT", message);
  const inside = value >= from && value <= to && (what === "a number" || Number.isInteger(value));
  if (!inside) throw new SaccadeRangeError("ERR_SACCADE_RANGE", message);
  // -0 becomes 0.
  return value || 0;
}

/**
 * Softmax: `w_j = exp(s_j / temperature) / sum_i exp(s_i / temperature)`, the default of every score but the kernels
 * (Bridle 1990).
 *
 * @param options - `temperature` greater than 0 (from 1e-38 to 1e38), default 1: below 1 sharper, above 1 flatter
 * @throws TypeError `ERR_SACCADE_OPTION`, `ERR_SACCADE_ARGUMENT`; RangeError `ERR_SACCADE_RANGE`
 */
export function softmax(options?: { readonly temperature?: number | undefined }): Softmax {
  return description("softmax", readOptions(options, FIELDS.softmax, "softmax"), "softmax", "options.") as Softmax;
}

/**
 * Division by the sum: `w_j = s_j / sum_i s_i`, the default of the kernels (Nadaraya 1964; Watson 1964), for which it is computed
 * so that a query far from all keys still has weights. Weights of other scores may be negative; a sum of 0 divides all the same.
 */
export function sum(): Sum {
  return description("sum", {}, "sum") as Sum;
}

/**
 * Hard attention, decided rather than drawn (after Xu et al. 2015): weight 1 at the largest score, at the lower index of equal
 * ones, and 0 elsewhere.
 */
export function hardmax(): Hardmax {
  return description("hardmax", {}, "hardmax") as Hardmax;
}

/**
 * Softmax over the k largest scores, of equal ones those at the lower indices; every other weight is 0 (Gupta et al. 2021).
 *
 * @param k - an integer from 1; one larger than kvLen is refused by the call that uses it. A row that sees fewer keys keeps all
 * @throws TypeError `ERR_SACCADE_ARGUMENT`; RangeError `ERR_SACCADE_RANGE`
 */
export function topK(k: number): TopK {
  return description("topK", { k }, "topK") as TopK;
}

/**
 * Softmax without its small weights, `w_j >= threshold ? w_j / sum of those kept : 0`: soft weights filtered towards hard attention
 * (the two of Xu et al. 2015). Keys with the largest score always stay.
 *
 * @param threshold - from 0 to 1
 * @throws TypeError `ERR_SACCADE_ARGUMENT`; RangeError `ERR_SACCADE_RANGE`
 */
export function threshold(threshold: number): Threshold {
  return description("threshold", { threshold }, "threshold") as Threshold;
}

/**
 * Stochastic hard attention (Xu et al. 2015): keys drawn by their softmax weights; a weight is the share of the draws that fell on
 * its key. Draws are Philox4x32-10 (Salmon et al. 2011) of the seed and the row's number in the call, batch first, then head, then
 * query: the same everywhere, whatever else is computed, and independent between rows.
 *
 * @param options - `seed`: an integer from 0 to 2^53 - 1; `draws`: an integer from 1 to 2^24, default 1
 * @throws TypeError `ERR_SACCADE_OPTION`, `ERR_SACCADE_ARGUMENT`; RangeError `ERR_SACCADE_RANGE`
 */
export function sample(options: { readonly seed: number; readonly draws?: number | undefined }): Sample {
  return description("sample", readOptions(options, FIELDS.sample, "sample"), "sample", "options.") as Sample;
}

/**
 * Gumbel-softmax (Jang, Gu and Poole 2017; Maddison, Mnih and Teh 2017): `softmax((s + g) / temperature)` with `g = -ln(-ln u)`, a
 * `u` in (0, 1) for each key, drawn as {@link sample} draws. With `hard` the weight is 1 at the largest `s + g` and 0 elsewhere,
 * which draws a key by its softmax weight.
 *
 * @param options - `seed`: an integer from 0 to 2^53 - 1; `temperature` as in {@link softmax}; `hard`: default false
 * @throws TypeError `ERR_SACCADE_OPTION`, `ERR_SACCADE_ARGUMENT`; RangeError `ERR_SACCADE_RANGE`
 */
export function gumbel(options: {
  readonly seed: number;
  readonly temperature?: number | undefined;
  readonly hard?: boolean | undefined;
}): Gumbel {
  return description("gumbel", readOptions(options, FIELDS.gumbel, "gumbel"), "gumbel", "options.") as Gumbel;
}

/**
 * Sparsemax (Martins and Astudillo 2016): `w_j = max(s_j - tau, 0)` with the tau for which the weights sum to 1. Weights of keys
 * that score well below the best are exactly 0.
 */
export function sparsemax(): Sparsemax {
  return description("sparsemax", {}, "sparsemax") as Sparsemax;
}

/** `w_j = 1 / (1 + exp(-s_j))`: every key for itself; the weights of a row do not sum to 1. */
export function sigmoid(): Sigmoid {
  return description("sigmoid", {}, "sigmoid") as Sigmoid;
}

/** Proves a description that a call is given, reading each of its own properties once. */
export function proveNormalize(value: unknown, caller: string, name = "options.normalize"): Normalize {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw noDescription(describe(value), caller, name);
  const own = Object.keys(value);
  const kind = own.includes("kind") ? (value as { kind: unknown }).kind : undefined;
  if (typeof kind !== "string" || !(KINDS as readonly string[]).includes(kind)) {
    throw noDescription(`an object of kind ${describe(kind)}`, caller, name);
  }
  const fields: readonly string[] = FIELDS[kind as Kind];
  const values: Record<string, unknown> = {};
  for (const field of own) {
    if (field === "kind") continue;
    if (!fields.includes(field)) throw unknownOption(field, fields, `${caller}: ${name} (${kind})`);
    values[field] = (value as Record<string, unknown>)[field];
  }
  return description(kind as Kind, values, caller, `${name}.`);
}

function noDescription(given: string, caller: string, name: string): SaccadeTypeError {
  const expected = KINDS.map((kind) => `${kind}()`).join(", ");
  return argumentError(caller, `${name} is ${given}; expected one of ${expected}`);
}

/** Refuses to choose more keys than there are. */
export function proveKeys(normalize: Normalize, kvLen: number, caller: string, name = "options.normalize"): void {
  if (normalize.kind === "topK" && normalize.k > kvLen) {
    throw rangeError(caller, `${name} is topK(${normalize.k}); expected at most kvLen, which is ${kvLen}`);
  }
}

/** The integers and numbers by which the wasm knows a normaliser. */
export function normalizeArguments(normalize: Normalize): { readonly integers: number[]; readonly floats: number[] } {
  const given: Values = normalize as Values;
  const seed = (given.seed as number | undefined) ?? 0;
  const count = (given.k ?? given.draws ?? 0) as number;
  return {
    integers: [KINDS.indexOf(normalize.kind), count, given.hard ? 1 : 0, seed % 2 ** 32, Math.floor(seed / 2 ** 32)],
    floats: [(given.temperature ?? given.threshold ?? 1) as number],
  };
}
