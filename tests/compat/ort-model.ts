/**
 * Models of one node, written as ONNX files by hand, so that no package is needed to make them. A file is a protobuf
 * message: fields are a key (number << 3 | wire type) and a value, and only these wire types occur: 0 an integer in
 * groups of 7 bits, 2 bytes behind their length, 5 four bytes of a float. Field numbers are those of onnx.proto3.
 */

/** Element types of onnx.proto3 (`TensorProto.DataType`). */
const ELEMENT_TYPES = { float32: 1, int32: 6, bool: 9, float16: 10 } as const;

export type ElementType = keyof typeof ELEMENT_TYPES;

export interface NodeModel {
  opType: string;
  /** "" is ONNX's own. */
  domain: string;
  opset: number;
  attributes: Record<string, { int: number } | { float: number }>;
  /** In the order of the operator; null leaves an optional one out. */
  inputs: ({ name: string; type: ElementType } | null)[];
  outputs: ({ name: string; type: ElementType } | null)[];
}

const text = (value: string) => new TextEncoder().encode(value);

function varint(value: number | bigint): number[] {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return [...bytes, Number(rest)];
}

const integer = (field: number, value: number) => [...varint(field << 3), ...varint(value)];

const bytes = (field: number, value: ArrayLike<number>) => [
  ...varint((field << 3) | 2),
  ...varint(value.length),
  ...Array.from(value),
];

const float = (field: number, value: number) => [
  ...varint((field << 3) | 5),
  ...new Uint8Array(Float32Array.of(value).buffer),
];

/** ValueInfoProto: a name and an element type; the shape is left open. */
const valueInfo = ({ name, type }: { name: string; type: ElementType }) => {
  const tensorType = integer(1, ELEMENT_TYPES[type]);
  return [...bytes(1, text(name)), ...bytes(2, bytes(1, tensorType))];
};

/** AttributeProto: its type is 1 for a float, 2 for an integer. */
const attribute = (name: string, value: { int: number } | { float: number }) => [
  ...bytes(1, text(name)),
  ...("int" in value ? [...integer(3, value.int), ...integer(20, 2)] : [...float(2, value.float), ...integer(20, 1)]),
];

const given = <T>(list: readonly (T | null)[]) => list.filter((each): each is T & {} => each !== null);

/** The bytes of the file. */
export function encodeModel({ opType, domain, opset, attributes, inputs, outputs }: NodeModel): Uint8Array {
  const node = [
    ...inputs.flatMap((input) => bytes(1, text(input?.name ?? ""))),
    ...outputs.flatMap((output) => bytes(2, text(output?.name ?? ""))),
    ...bytes(4, text(opType)),
    ...Object.entries(attributes).flatMap(([name, value]) => bytes(5, attribute(name, value))),
    ...bytes(7, text(domain)),
  ];
  const graph = [
    ...bytes(1, node),
    ...bytes(2, text("graph")),
    ...given(inputs).flatMap((input) => bytes(11, valueInfo(input))),
    ...given(outputs).flatMap((output) => bytes(12, valueInfo(output))),
  ];
  // Every model names the version of ONNX's own operators, even if it uses none of them.
  const versions =
    domain === ""
      ? [{ domain, opset }]
      : [
          { domain: "", opset: 21 },
          { domain, opset },
        ];
  return Uint8Array.from([
    ...integer(1, 10),
    ...bytes(7, graph),
    ...versions.flatMap((each) => bytes(8, [...bytes(1, text(each.domain)), ...integer(2, each.opset)])),
  ]);
}
