/**
 * Models written as ONNX files by hand, so that no package is needed to make them. A file is a protobuf message: fields
 * are a key (number << 3 | wire type) and a value, and only these wire types occur: 0 an integer in groups of 7 bits, 2
 * bytes behind their length, 5 four bytes of a float. Field numbers are those of onnx.proto3.
 */

/** Element types of onnx.proto3 (`TensorProto.DataType`). */
const ELEMENT_TYPES = { float32: 1, int32: 6, int64: 7, bool: 9, float16: 10 } as const;

export type ElementType = keyof typeof ELEMENT_TYPES;

export interface Value {
  name: string;
  type: ElementType;
}

/** A value that lies in the model. */
export interface Constant extends Value {
  shape: readonly number[];
  data: ArrayBufferView;
}

export interface ModelNode {
  opType: string;
  /** "" is ONNX's own. */
  domain: string;
  attributes?: Record<string, { int: number } | { float: number } | { ints: readonly number[] }>;
  /** Names, in the order of the operator; "" leaves an optional one out. */
  inputs: readonly string[];
  outputs: readonly string[];
}

export interface Model {
  /** The version of ONNX's own operators; that of every other domain is 1. */
  opset: number;
  nodes: readonly ModelNode[];
  inputs: readonly Value[];
  outputs: readonly Value[];
  constants?: readonly Constant[];
}

/** Parts of a message: operands of many megabytes are copied once, at the end. */
type Parts = readonly Uint8Array[];

const text = (value: string): Parts => [new TextEncoder().encode(value)];
const lengthOf = (parts: Parts): number => parts.reduce((sum, part) => sum + part.length, 0);

function varint(value: number | bigint): number[] {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return [...bytes, Number(rest)];
}

const integer = (field: number, value: number): Parts => [Uint8Array.from([...varint(field << 3), ...varint(value)])];

const bytes = (field: number, parts: Parts): Parts => [
  Uint8Array.from([...varint((field << 3) | 2), ...varint(lengthOf(parts))]),
  ...parts,
];

const float = (field: number, value: number): Parts => [
  Uint8Array.from(varint((field << 3) | 5)),
  new Uint8Array(Float32Array.of(value).buffer),
];

/** ValueInfoProto: a name and an element type; the shape is left open. */
const valueInfo = ({ name, type }: Value): Parts => {
  const tensorType = integer(1, ELEMENT_TYPES[type]);
  return [...bytes(1, text(name)), ...bytes(2, bytes(1, tensorType))];
};

/** TensorProto with `raw_data`. */
const tensor = ({ name, type, shape, data }: Constant): Parts => [
  ...shape.flatMap((length) => integer(1, length)),
  ...integer(2, ELEMENT_TYPES[type]),
  ...bytes(8, text(name)),
  ...bytes(9, [new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]),
];

/** AttributeProto: its type is 1 for a float, 2 for an integer, 7 for integers. */
function attribute(name: string, value: NonNullable<ModelNode["attributes"]>[string]): Parts {
  const named = bytes(1, text(name));
  if ("int" in value) return [...named, ...integer(3, value.int), ...integer(20, 2)];
  if ("float" in value) return [...named, ...float(2, value.float), ...integer(20, 1)];
  return [...named, ...value.ints.flatMap((each) => integer(8, each)), ...integer(20, 7)];
}

const nodeOf = ({ opType, domain, attributes = {}, inputs, outputs }: ModelNode): Parts => [
  ...inputs.flatMap((name) => bytes(1, text(name))),
  ...outputs.flatMap((name) => bytes(2, text(name))),
  ...bytes(4, text(opType)),
  ...Object.entries(attributes).flatMap(([name, value]) => bytes(5, attribute(name, value))),
  ...bytes(7, text(domain)),
];

/** The bytes of the file. */
export function encodeModel({ opset, nodes, inputs, outputs, constants = [] }: Model): Uint8Array<ArrayBuffer> {
  const graph = [
    ...nodes.flatMap((node) => bytes(1, nodeOf(node))),
    ...bytes(2, text("graph")),
    ...constants.flatMap((constant) => bytes(5, tensor(constant))),
    ...inputs.flatMap((input) => bytes(11, valueInfo(input))),
    ...outputs.flatMap((output) => bytes(12, valueInfo(output))),
  ];
  // Every model names the version of ONNX's own operators, even if it uses none of them.
  const others = new Set(nodes.map(({ domain }) => domain).filter((domain) => domain !== ""));
  const versions: [string, number][] = [["", opset], ...[...others].map((domain): [string, number] => [domain, 1])];
  const parts = [
    ...integer(1, 10),
    ...bytes(7, graph),
    ...versions.flatMap(([domain, version]) => bytes(8, [...bytes(1, text(domain)), ...integer(2, version)])),
  ];
  const model = new Uint8Array(lengthOf(parts));
  let at = 0;
  for (const part of parts) {
    model.set(part, at);
    at += part.length;
  }
  return model;
}
