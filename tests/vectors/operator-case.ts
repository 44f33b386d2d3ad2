/**
 * Painted calls of the operators beside attention, as tests/data/operators holds them: the operator's number, its lists of
 * integers, numbers and operands, and the hash of each output.
 */
import { type Paint, paint } from "./paint.ts";

/** An operand to read. */
export type OperandCase =
  | { dtype: "absent" }
  | { dtype: "float32"; count: number; paint: Paint }
  | { dtype: "float16" | "bfloat16" | "int32" | "bool"; values: number[] };

/** An operand to write. */
export interface ResultCase {
  dtype: "absent" | "float32" | "int32";
  count?: number;
}

export interface OperatorCase {
  id: string;
  operator: number;
  integers: number[];
  floats?: number[];
  inputs: OperandCase[];
  outputs: ResultCase[];
  /** Of each output, empty where it is absent: float32 as `hashOf` has it, integers as the same words. */
  sha256?: string[];
}

export interface OperatorFile {
  cases: OperatorCase[];
}

/** The files under tests/data/operators. */
export const OPERATOR_FILES = [
  "linear",
  "layer-norm",
  "pooling",
  "positions",
  "kernel-regression",
  "normalize",
  "softmax",
  "gru",
  "vision",
] as const;

/** An operand's elements; undefined where it is absent. */
export function elementsOf(operand: OperandCase): Float32Array | Uint16Array | Int32Array | Uint8Array | undefined {
  switch (operand.dtype) {
    case "absent":
      return undefined;
    case "float32":
      return paint(operand.paint, operand.count);
    case "int32":
      return Int32Array.from(operand.values);
    case "bool":
      return Uint8Array.from(operand.values);
    default:
      return Uint16Array.from(operand.values);
  }
}
