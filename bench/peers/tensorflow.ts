/** TensorFlow.js on its wasm backend, one thread. It has no attention: products, sums and softmax make it. */
import { joined, reshaped, transposed } from "../attention/arrange.ts";
import { productsOf } from "../attention/products.ts";
import type { Placed } from "../case.ts";
import type { AttentionTask, Choice, Numbers, Peer, Task, Way } from "./task.ts";

export interface TfTensor {
  dataSync(): Float32Array<ArrayBuffer>;
  dispose(): void;
}

export interface TensorFlow {
  env(): { set(flag: string, value: boolean): void };
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
  // Its build with threads wants workers even for one.
  tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false);
  if (!(await tf.setBackend("wasm"))) throw new Error("its wasm backend does not start");
  await tf.ready();
  return { name: "tfjs-wasm", version: wasm.version_wasm, choices: (task) => choicesOf(tf, task) };
}

type Read = (data: Float32Array<ArrayBuffer>) => ArrayLike<number>;

/** Operands of every run are placed before; results are fetched in every call, as its interface gives them. */
function way(
  tf: TensorFlow,
  how: string,
  operands: readonly (readonly Numbers[])[],
  run: (...given: [TfTensor, TfTensor, TfTensor, TfTensor]) => TfTensor,
  read: Read = (data) => data,
): Way {
  const place = (): Placed => {
    const given = operands.map((each) => each.map(({ data, shape }) => tf.tensor(data, shape)));
    let last: Float32Array[] = [];
    const call = () => {
      last = given.map((each) => {
        const out = tf.tidy(() => run(...(each as Parameters<typeof run>)));
        const data = out.dataSync();
        out.dispose();
        return data;
      });
    };
    const dispose = () => {
      for (const tensor of given.flat()) tensor.dispose();
    };
    return { call, result: () => read(joined(last)), dispose };
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
      return [{ ways: [way(tf, "add, tanh, mul, sum, softmax, matMul", [[query, key, task.value, task.v]], run)] }];
    }
    case "linear": {
      const [outer, inner] = task.weight.shape as [number, number];
      const turned = reshaped(transposed(reshaped(task.weight, [1, 1, outer, inner])), [inner, outer]);
      const product = (transposeB: boolean) => (x: TfTensor, weight: TfTensor) =>
        tf.matMul(x, weight, false, transposeB);
      return [
        {
          ways: [
            way(tf, "matMul", [[task.x, task.weight]], product(true)),
            way(tf, "matMul, weight transposed", [[task.x, turned]], product(false)),
          ],
        },
      ];
    }
    case "softmax":
      // Its softmax knows the last axis alone.
      return task.axis === 1 ? [{ ways: [way(tf, "softmax", [[task.x]], (x) => tf.softmax(x))] }] : [];
    case "layer-norm": {
      const epsilon: Numbers = { data: Float32Array.of(task.epsilon), shape: [1] };
      const run = (x: TfTensor, weight: TfTensor, bias: TfTensor, least: TfTensor) => {
        const centred = tf.sub(x, tf.mean(x, -1, true));
        const scale = tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), least));
        return tf.add(tf.mul(tf.mul(centred, scale), weight), bias);
      };
      const operands = [task.x, task.weight, task.bias, epsilon];
      return [{ ways: [way(tf, "mean, square, rsqrt, mul, add", [operands], run)] }];
    }
  }
}

function attentionChoices(tf: TensorFlow, task: AttentionTask): readonly Choice[] {
  const products = productsOf(task);
  if (!products) return [];
  const { scale, read } = products;
  const attend = (transposeB: boolean) => (q: TfTensor, k: TfTensor, v: TfTensor, b?: TfTensor) => {
    const scores = tf.mul(tf.matMul(q, k, false, transposeB), scale);
    return tf.matMul(tf.softmax(b ? tf.add(scores, b) : scores), v);
  };
  const how = "matMul, softmax, matMul";
  return [
    {
      ways: [
        way(tf, how, [products.whole], attend(true), read),
        way(tf, `${how}, keys transposed`, [products.transposed], attend(false), read),
        way(tf, `${how}, head by head`, products.byHead, attend(false), read),
      ],
    },
  ];
}
