/** jax-js on its wasm backend: kernels that it makes out of the traced function. */
import { arranged, joined, reshaped, transposed } from "../attention/arrange.ts";
import { productsOf } from "../attention/products.ts";
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

function way(
  jax: Jax,
  how: string,
  operands: readonly (readonly Numbers[])[],
  run: JaxFunction,
  read: Read = (data) => data,
): Way {
  const place = (): Placed => {
    const dtype = jax.numpy.float32;
    const given = operands.map((each) => each.map(({ data, shape }) => jax.numpy.array(data, { shape, dtype })));
    const compiled = jax.jit(run);
    let last: Float32Array[] = [];
    const call = () => {
      last = given.map((each) => compiled(...each.map((array) => array.ref)).dataSync());
    };
    const dispose = () => {
      for (const array of given.flat()) array.dispose();
      compiled.dispose();
    };
    return { call, result: () => read(joined(last)), dispose };
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
      return [{ ways: [way(jax, "tanh, sum, softmax, matmul", [[query, key, task.value, task.v]], run)] }];
    }
    case "linear": {
      const [outer, inner] = task.weight.shape as [number, number];
      const turned = reshaped(transposed(reshaped(task.weight, [1, 1, outer, inner])), [inner, outer]);
      const run = (...[x, weight]: JaxArray[]) => numpy.matmul(x!, weight!);
      return [{ ways: [way(jax, "matmul", [[task.x, turned]], run)] }];
    }
    case "softmax":
      return [{ ways: [way(jax, "softmax", [[task.x]], (x) => nn.softmax(x!, task.axis))] }];
    case "layer-norm": {
      const run = (...[x, weight, bias]: JaxArray[]) =>
        nn.standardize(x!, -1, { epsilon: task.epsilon }).mul(weight!).add(bias!);
      return [{ ways: [way(jax, "standardize, mul, add", [[task.x, task.weight, task.bias]], run)] }];
    }
  }
}

function attentionChoices(jax: Jax, task: AttentionTask): readonly Choice[] {
  const { numpy, nn } = jax;
  const { spec } = task;
  const ways: Way[] = [];
  const square = spec.causal && spec.qLen === spec.kvLen && !spec.window && !spec.kvLengths;
  if (spec.softcap === undefined && (square || task.bias() === null)) {
    const rows = [task.query, task.key, task.value].map((each) => arranged(each, spec.layout, "bshd"));
    const shape = [spec.batch, spec.qLen, spec.numHeads, spec.valueHeadDim];
    const run = (...[q, k, v]: JaxArray[]) => nn.dotProductAttention(q!, k!, v!, { isCausal: square });
    const read: Read = (data) => arranged({ data, shape }, "bshd", spec.layout).data;
    ways.push(way(jax, "dotProductAttention", [rows], run, read));
  }
  const products = productsOf(task);
  if (products) {
    const run = (...[q, k, v, b]: JaxArray[]) => {
      const scores = numpy.matmul(q!, k!).mul(products.scale);
      return numpy.matmul(nn.softmax(b ? scores.add(b) : scores, -1), v!);
    };
    const how = "matmul, softmax, matmul";
    ways.push(way(jax, how, [products.transposed], run, products.read));
    ways.push(way(jax, `${how}, head by head`, products.byHead, run, products.read));
  }
  return ways.length === 0 ? [] : [{ ways }];
}
