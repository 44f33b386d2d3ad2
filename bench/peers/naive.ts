/**
 * Plain JavaScript over typed arrays, as a careful person writes it without a library: no memory is allocated in a call,
 * inner loops go through memory in order, sums have four parts so that additions need not wait for one another.
 */
import { arranged } from "../attention/arrange.ts";
import { type AttentionSpec, sightOf } from "../attention/spec.ts";
import type { Placed } from "../case.ts";
import type {
  AdditiveTask,
  AttentionTask,
  Choice,
  LayerNormTask,
  LinearTask,
  Peer,
  SoftmaxTask,
  Task,
} from "./task.ts";

export const naive: Peer = {
  name: "naive loop",
  version: "",
  choices: (task): readonly Choice[] => [{ ways: [{ how: "typed arrays", place: () => placed(task) }] }],
};

function placed(task: Task): Placed {
  switch (task.kind) {
    case "attention":
      return attention(task);
    case "additive":
      return additive(task);
    case "linear":
      return linear(task);
    case "softmax":
      return softmax(task);
    case "layer-norm":
      return layerNorm(task);
  }
}

/** The dot product of `length` numbers from `i` in a and from `j` in b. */
function dot(a: Float32Array, i: number, b: Float32Array, j: number, length: number): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let d = 0;
  for (; d + 3 < length; d += 4) {
    s0 += a[i + d]! * b[j + d]!;
    s1 += a[i + d + 1]! * b[j + d + 1]!;
    s2 += a[i + d + 2]! * b[j + d + 2]!;
    s3 += a[i + d + 3]! * b[j + d + 3]!;
  }
  for (; d < length; d++) s0 += a[i + d]! * b[j + d]!;
  return s0 + s1 + (s2 + s3);
}

/** Softmax of some scores in place, `step` apart. */
function softmaxInPlace(x: Float32Array | Float64Array, at: number, length: number, step = 1): void {
  let most = Number.NEGATIVE_INFINITY;
  for (let j = 0; j < length; j++) most = Math.max(most, x[at + j * step]!);
  let total = 0;
  for (let j = 0; j < length; j++) {
    const power = Math.exp(x[at + j * step]! - most);
    x[at + j * step] = power;
    total += power;
  }
  const part = 1 / total;
  for (let j = 0; j < length; j++) x[at + j * step]! *= part;
}

function addTimes(
  out: Float32Array,
  at: number,
  weight: number,
  value: Float32Array,
  from: number,
  length: number,
): void {
  for (let d = 0; d < length; d++) out[at + d]! += weight * value[from + d]!;
}

function attention(task: AttentionTask): Placed {
  const { spec } = task;
  const { batch, numHeads, numKvHeads, qLen, kvLen, headDim, valueHeadDim, softcap } = spec;
  const [query, key, value] = [task.query, task.key, task.value].map(
    (numbers) => arranged(numbers, spec.layout, "bhsd").data,
  ) as [Float32Array, Float32Array, Float32Array];
  const out = new Float32Array(batch * numHeads * qLen * valueHeadDim);
  const scores = new Float64Array(kvLen);
  const scale = 1 / Math.sqrt(headDim);
  // Ranges are followed; an array is added only where a range does not say it.
  const bias = needsArray(spec) ? task.bias() : null;
  const [batches, heads] = bias?.shape ?? [1, 1];
  const call = () => {
    out.fill(0);
    for (let b = 0; b < batch; b++) {
      for (let h = 0; h < numHeads; h++) {
        const kvHead = b * numKvHeads + Math.floor((h * numKvHeads) / numHeads);
        const biasHead = (batches === 1 ? 0 : b) * heads! + (heads === 1 ? 0 : h);
        for (let i = 0; i < qLen; i++) {
          const [from, to] = sightOf(spec, b, i);
          const row = (b * numHeads + h) * qLen + i;
          for (let j = from; j < to; j++) {
            let score = scale * dot(query, row * headDim, key, (kvHead * kvLen + j) * headDim, headDim);
            if (softcap !== undefined) score = softcap * Math.tanh(score / softcap);
            if (bias) score += bias.data[(biasHead * qLen + i) * kvLen + j]!;
            scores[j] = score;
          }
          softmaxInPlace(scores, from, to - from);
          for (let j = from; j < to; j++) {
            if (scores[j] !== 0) {
              addTimes(out, row * valueHeadDim, scores[j]!, value, (kvHead * kvLen + j) * valueHeadDim, valueHeadDim);
            }
          }
        }
      }
    }
  };
  const shape = [batch, numHeads, qLen, valueHeadDim];
  return { call, result: () => arranged({ data: out, shape }, "bhsd", spec.layout).data };
}

const needsArray = (spec: AttentionSpec): boolean => Boolean(spec.randomMask || spec.bias || spec.alibi);

function additive({ query, key, value, v }: AdditiveTask): Placed {
  const [qLen, hidden] = query.shape as [number, number];
  const [kvLen, width] = value.shape as [number, number];
  const out = new Float32Array(qLen * width);
  const scores = new Float64Array(kvLen);
  const call = () => {
    out.fill(0);
    for (let i = 0; i < qLen; i++) {
      for (let j = 0; j < kvLen; j++) {
        let score = 0;
        for (let h = 0; h < hidden; h++) {
          score += v.data[h]! * Math.tanh(query.data[i * hidden + h]! + key.data[j * hidden + h]!);
        }
        scores[j] = score;
      }
      softmaxInPlace(scores, 0, kvLen);
      for (let j = 0; j < kvLen; j++) addTimes(out, i * width, scores[j]!, value.data, j * width, width);
    }
  };
  return { call, result: () => out };
}

function linear({ x, weight }: LinearTask): Placed {
  const [rows, inner] = x.shape as [number, number];
  const outer = weight.shape[0]!;
  const out = new Float32Array(rows * outer);
  const call = () => {
    for (let i = 0; i < rows; i++) {
      for (let o = 0; o < outer; o++) out[i * outer + o] = dot(x.data, i * inner, weight.data, o * inner, inner);
    }
  };
  return { call, result: () => out };
}

function softmax({ x, axis }: SoftmaxTask): Placed {
  const [rows, columns] = x.shape as [number, number];
  const out = new Float32Array(x.data.length);
  const call = () => {
    out.set(x.data);
    if (axis === 1) for (let i = 0; i < rows; i++) softmaxInPlace(out, i * columns, columns);
    else for (let j = 0; j < columns; j++) softmaxInPlace(out, j, rows, columns);
  };
  return { call, result: () => out };
}

function layerNorm({ x, weight, bias, epsilon }: LayerNormTask): Placed {
  const width = x.shape.at(-1)!;
  const out = new Float32Array(x.data.length);
  const call = () => {
    for (let at = 0; at < out.length; at += width) {
      let sum = 0;
      for (let d = 0; d < width; d++) sum += x.data[at + d]!;
      const mean = sum / width;
      let squares = 0;
      for (let d = 0; d < width; d++) squares += (x.data[at + d]! - mean) ** 2;
      const scale = 1 / Math.sqrt(squares / width + epsilon);
      for (let d = 0; d < width; d++) out[at + d] = (x.data[at + d]! - mean) * scale * weight.data[d]! + bias.data[d]!;
    }
  };
  return { call, result: () => out };
}
