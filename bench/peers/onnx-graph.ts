/** The parts of a model that is asked of onnxruntime: a graph, what is fed to it, and how its result is read. */
import type { ModelNode } from "../../tests/compat/onnx-model.ts";
import type { Numbers } from "./task.ts";

export interface Feed {
  readonly type: "float32" | "int32" | "int64" | "bool";
  readonly data: Float32Array | Int32Array | BigInt64Array | Uint8Array;
  readonly shape: readonly number[];
}

export interface Graph {
  /** The operators' names. */
  readonly how: string;
  readonly nodes: readonly ModelNode[];
  /** Given anew in every call, as its interface wants it. */
  readonly inputs: Readonly<Record<string, Feed>>;
  /** Lying in the model. */
  readonly constants?: Readonly<Record<string, Feed>>;
  /** What `out` says, in the layout of the task. */
  readonly read?: (out: Float32Array<ArrayBuffer>) => Float32Array;
}

/** The graph of one choice: rows of the table, each the fastest of its graphs. */
export interface GraphChoice {
  readonly label?: string;
  readonly graphs: readonly Graph[];
}

export const feed = ({ data, shape }: Numbers): Feed => ({ type: "float32", data, shape });
export const int32 = (...values: number[]): Feed => ({
  type: "int32",
  data: Int32Array.from(values),
  shape: [values.length],
});
export const int64 = (...values: number[]): Feed => ({
  type: "int64",
  data: BigInt64Array.from(values, BigInt),
  shape: [values.length],
});
export const float = (value: number): Feed => ({ type: "float32", data: Float32Array.of(value), shape: [1] });

/** A node of ONNX's own operators. */
export const node = (
  opType: string,
  inputs: readonly string[],
  output: string,
  attributes: NonNullable<ModelNode["attributes"]> = {},
): ModelNode => ({ opType, domain: "", attributes, inputs, outputs: [output] });

/** A node of onnxruntime's own operators. */
export const contributed = (
  opType: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: NonNullable<ModelNode["attributes"]>,
): ModelNode => ({ opType, domain: "com.microsoft", attributes, inputs, outputs });
