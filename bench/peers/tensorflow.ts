/** TensorFlow.js on its wasm backend, one thread. It has no attention: products, sums and softmax make it. */
import { arranged, reshaped, transposed } from "../attention/arrange.ts";
import type { Placed } from "../case.ts";
import type { AttentionTask, Choice, Numbers, Peer, Task, Way } from "./task.ts";

export interface TfTensor {
  dataSync(): Float32Array;
  dispose(): void;
}

export interface TensorFlow {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  tensor(data: Float32Array, shape: readonly number[]): TfTensor;
  tidy(run: () => TfTensor): TfTensor;
  add(a: TfTensor, b: TfTensor): TfTensor;
  sub(a: TfTensor, b: TfTensor): TfTensor;
  mul(a: TfTensor, b: TfTensor | number): TfTensor;
  tanh(a: TfTensor): TfTensor;
  rsqrt(a: TfTensor): TfTensor;
  square(a: TfTensor): TfTensor;
  sum(a: TfTensor, axis: number): TfTensor;
  mean(a: TfTensor, axis: number, keepDims: boolean): TfTensor;
  softmax(a: TfTensor): TfTensor;
  matMul(a: TfTensor, b: TfTensor, transposeA?: boolean, transposeB?: boolean): TfTensor;
}

export interface TensorFlowWasm {
  setWasmPaths(folder: string): void;
  setThreadsCount(count: number): void;
  readonly version_wasm: string;
}

/** `files` is the address of its wasm files. */
export async function loadTensorFlow(files: string): Promise<Peer> {
  const tf = await import("@tensorflow/tfjs-core");
  const wasm = await import("@tensorflow/tfjs-backend-wasm");
  wasm.setWasmPaths(files);
  wasm.setThreadsCount(1);
  if (!(await tf.setBackend("wasm"))) throw new Error("its wasm backend does not start");
  await tf.ready();
  return { name: "tfjs-wasm", version: wasm.version_wasm, choices: (task) => choicesOf(tf, task) };
}

type Read = (data: Float32Array) => ArrayLike<number>;

/** Operands are placed before; the result is fetched in every call, as its interface gives it. */
function way(
  tf: TensorFlow,
  how: string,
  operands: readonly Numbers[],
  run: (...given: TfTensor[]) => TfTensor,
  read?: Read,
): Way {
  const place = (): Placed => {
    const given = operands.map(({ data, shape }) => tf.tensor(data, shape));
    const call = () => {
      const out = tf.tidy(() => run(...given));
      const data = out.dataSync();
      out.dispose();
      return data;
    };
    const dispose = () => {
      for (const tensor of given) tensor.dispose();
    };
    return { call, result: () => (read ? read(call()) : call()), dispose };
  };
  return { how, place };
}

function choicesOf(tf: TensorFlow, task: Task): readonly Choice[] {
  switch (task.kind) {
    case "attention":
      return attentionChoices(tf, task);
    case "additive": {
      const [qLen, hidden] = task.query.shape as [number, number];
      const query = reshaped(task.query, [qLen, 1, hidden]);
      const key = reshaped(task.key, [1, ...task.key.shape]);
      const run = (q: TfTensor, k: TfTensor, value: TfTensor, v: TfTensor) =>
        tf.matMul(tf.softmax(tf.sum(tf.mul(tf.tanh(tf.add(q, k)), v), -1)), value);
      return [{ ways: [way(tf, "add, tanh, mul, sum, softmax, matMul", [query, key, task.value, task.v], run)] }];
    }
    case "linear": {
      const run = (x: TfTensor, weight: TfTensor) => tf.matMul(x, weight, false, true);
      return [{ ways: [way(tf, "matMul", [task.x, task.weight], run)] }];
    }
    case "softmax":
      // Its softmax knows the last axis alone.
      return task.axis === 1 ? [{ ways: [way(tf, "softmax", [task.x], (x) => tf.softmax(x))] }] : [];
    case "layer-norm": {
      const epsilon: Numbers = { data: Float32Array.of(task.epsilon), shape: [1] };
      const run = (x: TfTensor, weight: TfTensor, bias: TfTensor, least: TfTensor) => {
        const centred = tf.sub(x, tf.mean(x, -1, true));
        const scale = tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), least));
        return tf.add(tf.mul(tf.mul(centred, scale), weight), bias);
      };
      const operands = [task.x, task.weight, task.bias, epsilon];
      return [{ ways: [way(tf, "mean, square, rsqrt, mul, add", operands, run)] }];
    }
  }
}

function attentionChoices(tf: TensorFlow, task: AttentionTask): readonly Choice[] {
  const { spec } = task;
  const { batch, numHeads, numKvHeads, qLen, headDim, valueHeadDim } = spec;
  const bias = task.bias();
  if (spec.softcap !== undefined || (bias && numHeads !== numKvHeads)) return [];
  const [query, key, value] = [task.query, task.key, task.value].map((each) => arranged(each, spec.layout, "bhsd")) as [
    Numbers,
    Numbers,
    Numbers,
  ];
  // A group's heads are rows of one product.
  const rows = reshaped(query, [batch, numKvHeads, (numHeads / numKvHeads) * qLen, headDim]);
  const scale = 1 / Math.sqrt(headDim);
  const attend = (transposeB: boolean) => (q: TfTensor, k: TfTensor, v: TfTensor, b?: TfTensor) => {
    const scores = tf.mul(tf.matMul(q, k, false, transposeB), scale);
    return tf.matMul(tf.softmax(b ? tf.add(scores, b) : scores), v);
  };
  const read: Read = (data) =>
    arranged({ data: Float32Array.from(data), shape: [batch, numHeads, qLen, valueHeadDim] }, "bhsd", spec.layout).data;
  const rest = [value, ...(bias ? [bias] : [])];
  return [
    {
      ways: [
        way(tf, "matMul, softmax, matMul", [rows, key, ...rest], attend(true), read),
        way(tf, "matMul, softmax, matMul, keys transposed", [rows, transposed(key), ...rest], attend(false), read),
      ],
    },
  ];
}
