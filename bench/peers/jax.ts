/** jax-js on its wasm backend: kernels that it makes out of the traced function. */
import { arranged, reshaped, transposed } from "../attention/arrange.ts";
import type { Placed } from "../case.ts";
import manifest from "./package.json" with { type: "json" };
import type { AttentionTask, Choice, Numbers, Peer, Task, Way } from "./task.ts";

/** Every use of an array consumes it; `ref` is one more use. */
export interface JaxArray {
  readonly ref: JaxArray;
  mul(by: JaxArray | number): JaxArray;
  add(other: JaxArray): JaxArray;
  dataSync(): Float32Array<ArrayBuffer>;
  dispose(): void;
}

type JaxFunction = (...given: JaxArray[]) => JaxArray;

export interface Jax {
  init(...devices: string[]): Promise<string[]>;
  defaultDevice(device: string): string;
  jit(run: JaxFunction): JaxFunction & { dispose(): void };
  readonly numpy: {
    readonly float32: unknown;
    array(data: Float32Array, options: { shape: readonly number[]; dtype: unknown }): JaxArray;
    matmul(a: JaxArray, b: JaxArray): JaxArray;
    tanh(a: JaxArray): JaxArray;
    sum(a: JaxArray, axis: number): JaxArray;
  };
  readonly nn: {
    softmax(a: JaxArray, axis: number): JaxArray;
    standardize(a: JaxArray, axis: number, options: { epsilon: number }): JaxArray;
    dotProductAttention(query: JaxArray, key: JaxArray, value: JaxArray, options: { isCausal: boolean }): JaxArray;
  };
}

export async function loadJax(): Promise<Peer> {
  const jax = await import("@jax-js/jax");
  if (!(await jax.init("wasm")).includes("wasm")) throw new Error("its wasm backend does not start");
  jax.defaultDevice("wasm");
  return { name: "jax-js", version: manifest.dependencies["@jax-js/jax"], choices: (task) => choicesOf(jax, task) };
}

type Read = (data: Float32Array<ArrayBuffer>) => ArrayLike<number>;

function way(jax: Jax, how: string, operands: readonly Numbers[], run: JaxFunction, read?: Read): Way {
  const place = (): Placed => {
    const dtype = jax.numpy.float32;
    const given = operands.map(({ data, shape }) => jax.numpy.array(data, { shape, dtype }));
    const compiled = jax.jit(run);
    const call = () => compiled(...given.map((each) => each.ref)).dataSync();
    const dispose = () => {
      for (const each of given) each.dispose();
      compiled.dispose();
    };
    return { call, result: () => (read ? read(call()) : call()), dispose };
  };
  return { how, place };
}

function choicesOf(jax: Jax, task: Task): readonly Choice[] {
  const { numpy, nn } = jax;
  switch (task.kind) {
    case "attention":
      return attentionChoices(jax, task);
    case "additive": {
      const [qLen, hidden] = task.query.shape as [number, number];
      const query = reshaped(task.query, [qLen, 1, hidden]);
      const key = reshaped(task.key, [1, ...task.key.shape]);
      const run = (...[q, k, value, v]: JaxArray[]) => {
        const scores = numpy.sum(numpy.tanh(q!.add(k!)).mul(v!), -1);
        return numpy.matmul(nn.softmax(scores, -1), value!);
      };
      return [{ ways: [way(jax, "tanh, sum, softmax, matmul", [query, key, task.value, task.v], run)] }];
    }
    case "linear": {
      const [outer, inner] = task.weight.shape as [number, number];
      const turned = reshaped(transposed(reshaped(task.weight, [1, 1, outer, inner])), [inner, outer]);
      const run = (...[x, weight]: JaxArray[]) => numpy.matmul(x!, weight!);
      return [{ ways: [way(jax, "matmul", [task.x, turned], run)] }];
    }
    case "softmax":
      return [{ ways: [way(jax, "softmax", [task.x], (x) => nn.softmax(x!, task.axis))] }];
    case "layer-norm": {
      const run = (...[x, weight, bias]: JaxArray[]) =>
        nn.standardize(x!, -1, { epsilon: task.epsilon }).mul(weight!).add(bias!);
      return [{ ways: [way(jax, "standardize, mul, add", [task.x, task.weight, task.bias], run)] }];
    }
  }
}

function attentionChoices(jax: Jax, task: AttentionTask): readonly Choice[] {
  const { numpy, nn } = jax;
  const { spec } = task;
  const { batch, numHeads, numKvHeads, qLen, kvLen, headDim, valueHeadDim } = spec;
  const bias = task.bias();
  if (spec.softcap !== undefined) return [];
  const inLayout = (layout: "bshd" | "bhsd") =>
    [task.query, task.key, task.value].map((each) => arranged(each, spec.layout, layout)) as [
      Numbers,
      Numbers,
      Numbers,
    ];
  const ways: Way[] = [];
  const square = spec.causal && qLen === kvLen && !spec.window && !spec.kvLengths;
  if (!bias || square) {
    const run = (...[q, k, v]: JaxArray[]) => nn.dotProductAttention(q!, k!, v!, { isCausal: square });
    const read: Read = (data) =>
      arranged({ data, shape: [batch, qLen, numHeads, valueHeadDim] }, "bshd", spec.layout).data;
    ways.push(way(jax, "dotProductAttention", inLayout("bshd"), run, read));
  }
  if (!bias || numHeads === numKvHeads) {
    const [query, key, value] = inLayout("bhsd");
    const rows = reshaped(query, [batch, numKvHeads, (numHeads / numKvHeads) * qLen, headDim]);
    const run = (...[q, k, v, b]: JaxArray[]) => {
      const scores = numpy.matmul(q!, k!).mul(1 / Math.sqrt(headDim));
      return numpy.matmul(nn.softmax(b ? scores.add(b) : scores, -1), v!);
    };
    const read: Read = (data) =>
      arranged({ data, shape: [batch, numHeads, qLen, valueHeadDim] }, "bhsd", spec.layout).data;
    const operands = [rows, transposed(key), value, ...(bias ? [bias] : [])];
    ways.push(way(jax, "matmul, softmax, matmul, keys transposed", operands, run, read));
  }
  return ways.length === 0 ? [] : [{ ways }];
}
