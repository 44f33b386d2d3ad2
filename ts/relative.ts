/**
 * Attention that knows how far a key lies from the query: T5's bias, Shaw's relative keys and values, Transformer-XL's.
 *
 * Distances are positions of keys minus positions of queries, `j - (i + qOffset)`.
 */

import type { Asked } from "./attention-options.ts";
import type { Engine } from "./engine.ts";
import { optionError, shapeError } from "./errors.ts";
import { instanceFor } from "./init.ts";
import { axesOf } from "./layout/axes.ts";
import { resolveApart } from "./layout/destinations.ts";
import { proveFloatTensor } from "./layout/operands.ts";
import { proveBoolean, readOptions } from "./layout/options.ts";
import {
  captureRelative,
  proveTable,
  RELATIVE_OPTIONS,
  type RelativeCall,
  resolveRelative,
} from "./layout/relative.ts";
import { plainOf } from "./layout/results.ts";
import { I32_MAXIMUM, I32_MINIMUM, MAXIMUM_SIZE, proveInteger } from "./layout/shape.ts";
import { captureTensor } from "./layout/tensor-like.ts";
import type { PlainTensor, TensorInput } from "./tensor.ts";
import { attendWithBias } from "./wasm/biased-attention.ts";
import { inSession, type ResultSlot, type Session, type Slot } from "./wasm/operator.ts";

/** Options of {@link t5RelativeBias}. */
export interface T5BiasOptions {
  /** Query rows. */
  readonly qLen: number;
  /** Keys. */
  readonly kvLen: number;
  /** Position of query row 0 among the keys. Default 0. */
  readonly qOffset?: number | undefined;
  /** Keys before and after the query have buckets of their own: encoders. `false`: decoders. Default true. */
  readonly bidirectional?: boolean | undefined;
  /** Distances from here on share a bucket. Default 128. */
  readonly maxDistance?: number | undefined;
  /** Where the result goes: float32 of its shape; it must not overlap the table. Default: a new tensor. */
  readonly out?: TensorInput | undefined;
  /** Default: the default engine. */
  readonly engine?: Engine | undefined;
}

/**
 * The relative bias of T5 (Raffel et al., "Exploring the Limits of Transfer Learning", 2020), to be given to `attention` as `bias`:
 * each head adds a learned number to the score, one per bucket of distances. Near distances have buckets of their own, far ones
 * share ever wider ones, up to `maxDistance`. T5 does not scale its scores: pass `scale: 1` too.
 *
 * @param table - `[numBuckets, numHeads]`, as checkpoints hold it: at least 2 buckets for each direction
 * @returns `[numHeads, qLen, kvLen]`; the target itself where `out` is given
 * @throws TypeError `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`, `ERR_SACCADE_OPTION`; RangeError `ERR_SACCADE_SHAPE`,
 *   `ERR_SACCADE_STRIDE`, `ERR_SACCADE_RANGE`, `ERR_SACCADE_OVERLAP`; SaccadeError as `attention`
 *
 * @example
 * ```ts
 * import { attention, init, t5RelativeBias } from "saccade";
 *
 * await init();
 * const table = { data: new Float32Array(32 * 2), shape: [32, 2] };
 * const x = { data: new Float32Array(6 * 2 * 8), shape: [1, 6, 2, 8] };
 * const bias = t5RelativeBias(table, { qLen: 6, kvLen: 6 });
 * console.log(attention(x, x, x, { scale: 1, bias }).out.shape); // [1, 6, 2, 8]
 * ```
 */
export function t5RelativeBias(table: TensorInput, options: T5BiasOptions): PlainTensor<"float32"> {
  const caller = "t5RelativeBias";
  const captured = captureTensor(table, caller, "table");
  const known = ["qLen", "kvLen", "qOffset", "bidirectional", "maxDistance", "out", "engine"] as const;
  const read = readOptions(options, known, caller);
  const target = read.out === undefined ? undefined : captureTensor(read.out, caller, "out");
  const qLen = proveInteger(read.qLen, 0, MAXIMUM_SIZE, caller, "options.qLen");
  const kvLen = proveInteger(read.kvLen, 0, MAXIMUM_SIZE, caller, "options.kvLen");
  const qOffset = proveInteger(read.qOffset ?? 0, I32_MINIMUM, I32_MAXIMUM, caller, "options.qOffset");
  const bidirectional = read.bidirectional === undefined || proveBoolean(read.bidirectional, caller, "bidirectional");
  proveTable(captured, [undefined, undefined], "[numBuckets, numHeads]", caller);
  const [numBuckets, heads] = captured.shape as [number, number];
  const each = bidirectional ? numBuckets / 2 : numBuckets;
  if (!Number.isInteger(each) || each < 2 || numBuckets > 2 ** 24) {
    const expected = bidirectional ? "an even number from 4 up, half for each direction" : "at least 2";
    throw shapeError(caller, `table.shape[0] (numBuckets) is ${numBuckets}; expected ${expected}`);
  }
  const least = Math.floor(each / 2) + 1;
  const maxDistance = proveInteger(read.maxDistance ?? 128, least, I32_MAXIMUM, caller, "options.maxDistance");
  const instance = instanceFor(read.engine, caller);
  const view = proveFloatTensor(captured, instance, caller);
  const destination = resolveApart(target, [heads, qLen, kvLen], { table: view }, instance, caller);
  return inSession(instance, caller, (session) => {
    const out = session.result(destination);
    session.run("t5Bias", {
      integers: [heads, qLen, kvLen, numBuckets, maxDistance, bidirectional ? 1 : 0, qOffset],
      inputs: [session.input(view)],
      outputs: [out],
    });
    return plainOf(out, read.out);
  });
}

/** Options that both relative attentions take, with the meaning that they have in `attention`. */
interface RelativeOptions<Weights extends boolean> {
  readonly layout?: "bshd" | "bhsd" | undefined;
  /** Factor of the whole score. Default `1 / sqrt(headDim)`. */
  readonly scale?: number | undefined;
  /** bool, not 0 = may attend, broadcast to `[batch, numHeads, qLen, kvLen]`. */
  readonly mask?: TensorInput | undefined;
  /** Valid keys per batch row. */
  readonly kvLengths?: ArrayLike<number> | undefined;
  /** Whether the weights are returned too. Default false. */
  readonly returnWeights?: Weights | undefined;
  /** Where `out` goes: float32 of its shape; it must not overlap an input. Default: a new tensor. */
  readonly out?: TensorInput | undefined;
  /** Default: the default engine. */
  readonly engine?: Engine | undefined;
}

/** What relative attentions return. */
export type RelativeAttentionResult<Weights extends boolean = boolean> = {
  /** As that of `attention`, float32. */
  readonly out: PlainTensor<"float32">;
} & Asked<Weights, "weights", PlainTensor<"float32">>;

/** Options of {@link shawRelative}. */
export interface ShawOptions<Weights extends boolean = boolean> extends RelativeOptions<Weights> {
  /** `[2k + 1, headDim]`: row t is for distance t - k; farther keys share the outer rows. */
  readonly relativeKey: TensorInput;
  /** `[2k + 1, valueHeadDim]`, of a k of its own. Default: values have no positions. */
  readonly relativeValue?: TensorInput | undefined;
  /** Row i sees key j iff `j <= i + qOffset`. Default false. */
  readonly causal?: boolean | undefined;
  /** Position of query row 0 among the keys, one integer. Needed where qLen and kvLen differ; else 0. */
  readonly qOffset?: number | undefined;
}

/**
 * Attention with relative positions (Shaw, Uszkoreit and Vaswani, "Self-Attention with Relative Position Representations", 2018):
 * `score_ij = scale * q_i (k_j + a_t)`, `out_i = sum_j w_ij (v_j + b_t)`, t the clipped distance of key and query, a and b learned
 * vectors that all heads share. The scores by distance are a matrix product of qLen rows and 2k + 1 vectors, brought to the keys as
 * a bias: memory is O(qLen * kvLen) per head.
 *
 * @param query - shapes as in `attention`
 * @param key - shapes as in `attention`
 * @param value - shapes as in `attention`
 * @throws as `attention`
 *
 * @example
 * ```ts
 * import { init, shawRelative } from "saccade";
 *
 * await init();
 * const x = { data: new Float32Array(6 * 2 * 4).fill(1), shape: [1, 6, 2, 4] };
 * const relativeKey = { data: new Float32Array(7 * 4), shape: [7, 4] };
 * console.log(shawRelative(x, x, x, { relativeKey }).out.shape); // [1, 6, 2, 4]
 * ```
 */
export function shawRelative<Weights extends boolean = false>(
  query: TensorInput,
  key: TensorInput,
  value: TensorInput,
  options: ShawOptions<Weights>,
): RelativeAttentionResult<Weights> {
  const caller = "shawRelative";
  const known = [...RELATIVE_OPTIONS, "relativeKey", "relativeValue", "qOffset"] as const;
  const { relativeKey, relativeValue, ...read } = readOptions(options, known, caller);
  const tables = [captureTensor(relativeKey, caller, "relativeKey")];
  if (relativeValue !== undefined) tables.push(captureTensor(relativeValue, caller, "relativeValue"));
  const qOffset =
    read.qOffset === undefined ? 0 : proveInteger(read.qOffset, I32_MINIMUM, I32_MAXIMUM, caller, "options.qOffset");
  const captured = captureRelative([query, key, value], { ...read, qOffset }, caller);
  const resolved = resolveRelative(captured, tables, caller);
  const { call } = resolved;
  if (read.qOffset === undefined && call.qLen !== call.kvLen) {
    throw optionError(
      caller,
      `qLen is ${call.qLen} and kvLen ${call.kvLen}; give options.qOffset, the position of query row 0 among the keys`,
    );
  }
  for (const [table, width] of [[tables[0]!, call.headDim] as const, [tables[1], call.valueHeadDim] as const]) {
    if (table === undefined) continue;
    proveTable(table, [undefined, width], `[2 k + 1, ${width}]`, caller);
    if (table.shape[0]! % 2 === 0) {
      throw shapeError(
        caller,
        `${table.name}.shape[0] is ${table.shape[0]}; expected an odd number, 2 k + 1 distances`,
      );
    }
  }
  return runRelative(resolved, read.out, caller, (session, out, weightsOut) => {
    const { batch, numHeads, qLen, kvLen, valueHeadDim, axes } = call;
    const scores = [batch, numHeads, qLen, kvLen];
    const inside = axes.head > axes.seq ? 1 : 0;
    const placed = { query: session.input(call.query), key: session.input(call.key), value: session.input(call.value) };
    const [keys, values] = resolved.tables.map((table) => session.input(table)) as [Slot, Slot?];
    const products = multiply(session, placed.query, keys, 1, 1);
    const middle = (table: Slot): number => (table.shape[0]! - 1) / 2;
    const bias = shift(session, resolved, products, { inside, clipped: 1, first: middle(keys) - qOffset });
    if (values === undefined) {
      attendWithBias(session, { ...call, ...placed }, bias, out, weightsOut);
      return;
    }
    const weights = weightsOut ?? session.temporary(scores);
    const attended = session.temporary(out.shape);
    attendWithBias(session, { ...call, ...placed }, bias, attended, weights);
    session.run("relativeValue", {
      integers: [...scores, values.shape[0]!, valueHeadDim, inside, middle(values) - qOffset],
      inputs: [weights, values, attended],
      outputs: [out],
    });
  });
}

/** Options of {@link transformerXlAttention}. */
export interface TransformerXlOptions<Weights extends boolean = boolean> extends RelativeOptions<Weights> {
  /**
   * `[n, headDim]` or `[numHeads, n, headDim]`: what each distance offers, already multiplied by the layer's matrix. Row t is for the
   * key `kvLen - 1 - t` places before the query. n is kvLen, or `kvLen + qLen - 1` where keys after the query are seen too.
   */
  readonly r: TensorInput;
  /** `[numHeads, headDim]`: added to queries where they meet keys. */
  readonly u: TensorInput;
  /** `[numHeads, headDim]`: added to queries where they meet distances. */
  readonly v: TensorInput;
  /** Whether a row sees no key after itself. Default true, as the paper has it. */
  readonly causal?: boolean | undefined;
}

/**
 * The attention of Transformer-XL (Dai et al., "Transformer-XL", 2019): `score_ij = scale * ((q_i + u) k_j + (q_i + v) r_t)`, t the
 * distance of key and query. The first `kvLen - qLen` keys are the memory: query row i stands at position `i + kvLen - qLen`. The scores
 * by distance are a matrix product, shifted to the keys as a bias: memory is O(qLen * kvLen) per head.
 *
 * @param query - shapes as in `attention`
 * @param key - shapes as in `attention`, at least as many rows as the query's
 * @param value - shapes as in `attention`
 * @throws as `attention`
 */
export function transformerXlAttention<Weights extends boolean = false>(
  query: TensorInput,
  key: TensorInput,
  value: TensorInput,
  options: TransformerXlOptions<Weights>,
): RelativeAttentionResult<Weights> {
  const caller = "transformerXlAttention";
  const { r, u, v, ...read } = readOptions(options, [...RELATIVE_OPTIONS, "r", "u", "v"] as const, caller);
  const tables = Object.entries({ r, u, v }).map(([name, table]) => captureTensor(table, caller, name));
  const captured = captureRelative([query, key, value], { ...read, causal: read.causal ?? true, qOffset: 0 }, caller);
  const { attention } = captured;
  const { seq } = axesOf(attention.query.shape, attention.layout, caller);
  const memory = (attention.key.shape[seq] ?? 0) - attention.query.shape[seq]!;
  if (memory < 0) {
    throw shapeError(
      caller,
      `key.shape[${seq}] (kvLen) is smaller than query.shape[${seq}] (qLen); the memory comes first`,
    );
  }
  attention.qOffset = memory;
  const resolved = resolveRelative(captured, tables, caller);
  const { call } = resolved;
  const { batch, numHeads, qLen, kvLen, headDim, axes } = call;
  const distances = call.causal ? [kvLen, kvLen + qLen - 1] : [kvLen + qLen - 1];
  const expected = distances.map((n) => `[${n}, ${headDim}]`).join(" or ");
  const perHead = tables[0]!.shape.length === 3;
  proveTable(
    tables[0]!,
    [...(perHead ? [numHeads] : []), undefined, headDim],
    `${expected}, numHeads before it or not`,
    caller,
  );
  const n = tables[0]!.shape.at(-2)!;
  if (!distances.includes(n)) {
    throw shapeError(
      caller,
      `r.shape is [${tables[0]!.shape.join(", ")}]; expected ${expected}, numHeads before it or not`,
    );
  }
  for (const table of tables.slice(1)) proveTable(table, [numHeads, headDim], `[${numHeads}, ${headDim}]`, caller);
  return runRelative(resolved, read.out, caller, (session, out, weightsOut) => {
    const inside = axes.head > axes.seq ? 1 : 0;
    const x = session.input(call.query);
    const [relative, ...vectors] = resolved.tables.map((table) => session.input(table)) as [Slot, Slot, Slot];
    const [content, position] = vectors.map((vector, index) => {
      const sum = session.temporary(call.query.shape);
      // Heads come first where each has a table of its own.
      const integers = [batch, qLen, numHeads, headDim, inside, index === 0 ? inside : 0];
      session.run("headVector", { integers, inputs: [x, vector], outputs: [sum] });
      return sum;
    }) as [Slot, Slot];
    const products = multiply(session, position, relative, batch * numHeads, perHead ? numHeads : 1);
    const bias = shift(session, resolved, products, { inside: 0, clipped: 0, first: qLen - 1 });
    attendWithBias(session, { ...call, query: content }, bias, out, weightsOut);
  });
}

/** Runs the body in a session between the places of its results and what is returned. */
function runRelative<Weights extends boolean>(
  { instance, out, weights }: RelativeCall,
  target: unknown,
  caller: string,
  body: (session: Session, out: ResultSlot, weights: ResultSlot | undefined) => void,
): RelativeAttentionResult<Weights> {
  return inSession(instance, caller, (session) => {
    const slot = session.result(out);
    const weightsSlot = weights && session.result(weights);
    if (slot.elements > 0 || (weightsSlot?.elements ?? 0) > 0) body(session, slot, weightsSlot);
    const result = { out: plainOf(slot, target) };
    const weighed = weightsSlot && { weights: plainOf(weightsSlot) };
    return { ...result, ...weighed } as RelativeAttentionResult<Weights>;
  });
}

/** Products of rows and the rows of a table, or of `tables` of them, one for each group of rows in turn. */
function multiply(session: Session, x: Slot, table: Slot, groups: number, tables: number): Slot {
  const [n, inner] = table.shape.slice(-2) as [number, number];
  const rows = x.elements / inner;
  const products = session.temporary([rows, n]);
  session.run("linear", {
    integers: [groups, rows / groups, inner, n, tables, 0],
    inputs: [x, table, undefined],
    outputs: [products],
  });
  return products;
}

/** Scaled scores by distance, brought to the keys. */
function shift(
  session: Session,
  { call }: RelativeCall,
  products: Slot,
  { inside, clipped, first }: { readonly inside: number; readonly clipped: number; readonly first: number },
): Slot {
  const scores = [call.batch, call.numHeads, call.qLen, call.kvLen];
  const bias = session.temporary(scores);
  const n = products.shape[1]!;
  session.run("relativeShift", {
    integers: [...scores, n, inside, clipped, first, call.scale === undefined ? call.headDim : 0],
    floats: [call.scale ?? 0],
    inputs: [products],
    outputs: [bias],
  });
  return bias;
}
