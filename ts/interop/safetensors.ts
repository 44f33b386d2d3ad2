/**
 * safetensors: 8 bytes of header length (little endian), a JSON header, then the tensors' bytes.
 *
 * A file comes from anywhere, so nothing in it is believed: every length and offset is proved before it is used, and
 * whatever does not add up is refused with `ERR_SACCADE_CORRUPT` before a single tensor is handed out.
 */
import { describe, SaccadeError, SaccadeTypeError } from "../errors.ts";
import { duplicateKey } from "./json-keys.ts";

/** The array that holds each element type. float16 and bfloat16 are raw 16-bit patterns. */
interface ArrayOf {
  float64: Float64Array<ArrayBuffer>;
  float32: Float32Array<ArrayBuffer>;
  float16: Uint16Array<ArrayBuffer>;
  bfloat16: Uint16Array<ArrayBuffer>;
  int64: BigInt64Array<ArrayBuffer>;
  int32: Int32Array<ArrayBuffer>;
  int16: Int16Array<ArrayBuffer>;
  int8: Int8Array<ArrayBuffer>;
  uint64: BigUint64Array<ArrayBuffer>;
  uint32: Uint32Array<ArrayBuffer>;
  uint16: Uint16Array<ArrayBuffer>;
  uint8: Uint8Array<ArrayBuffer>;
  bool: Uint8Array<ArrayBuffer>;
}

/** Element types that are read and written: those of `attention`, and the other plain numbers. */
export type SafetensorsDType = keyof ArrayOf;

/** One tensor: row-major data, its shape and its element type. A `TensorLike` wherever the type is one of `DType`. */
export type SafetensorsTensor = {
  [D in SafetensorsDType]: { readonly data: ArrayOf[D]; readonly shape: readonly number[]; readonly dtype: D };
}[SafetensorsDType];

/** A file's tensors in the order of their names in the header, and its free-form metadata. */
export interface Safetensors {
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
  readonly metadata: ReadonlyMap<string, string>;
}

/** What can be written: contiguous row-major data. dtype follows the array where that is unambiguous. */
export interface SafetensorsInput {
  readonly data: ArrayBufferView;
  readonly shape: readonly number[];
  readonly dtype?: SafetensorsDType;
}

type ArrayConstructor = {
  readonly name: string;
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBuffer, byteOffset: number, length: number): SafetensorsTensor["data"];
};

const TYPES: readonly { code: string; dtype: SafetensorsDType; array: ArrayConstructor }[] = [
  { code: "F64", dtype: "float64", array: Float64Array },
  { code: "F32", dtype: "float32", array: Float32Array },
  { code: "F16", dtype: "float16", array: Uint16Array },
  { code: "BF16", dtype: "bfloat16", array: Uint16Array },
  { code: "I64", dtype: "int64", array: BigInt64Array },
  { code: "I32", dtype: "int32", array: Int32Array },
  { code: "I16", dtype: "int16", array: Int16Array },
  { code: "I8", dtype: "int8", array: Int8Array },
  { code: "U64", dtype: "uint64", array: BigUint64Array },
  { code: "U32", dtype: "uint32", array: Uint32Array },
  { code: "U16", dtype: "uint16", array: Uint16Array },
  { code: "U8", dtype: "uint8", array: Uint8Array },
  { code: "BOOL", dtype: "bool", array: Uint8Array },
];

const PREFIX_BYTES = 8;
/** The format's own limit: no honest header is longer. */
const MAX_HEADER_BYTES = 100_000_000;
const METADATA = "__metadata__";
const DTYPE_CODE = /^[A-Z][A-Z0-9_]{0,15}$/;

interface Entry {
  name: string;
  type: (typeof TYPES)[number];
  shape: readonly number[];
  begin: number;
  end: number;
}

function corrupt(message: string): SaccadeError {
  return new SaccadeError("ERR_SACCADE_CORRUPT", `readSafetensors: ${message}`);
}

/** Names come from the file: they are shortened and quoted, so that a message stays one readable line. */
function quote(name: string): string {
  return JSON.stringify(name.length > 60 ? `${name.slice(0, 57)}...` : name);
}

/**
 * Reads a safetensors file. Tensors are views of `bytes` where the alignment allows it, copies where not; treat them as
 * read-only if `bytes` is used elsewhere.
 *
 * @throws SaccadeError `ERR_SACCADE_CORRUPT` if the bytes are not a well-formed file (lengths, offsets, overlaps, gaps,
 * duplicate names, bad JSON), `ERR_SACCADE_UNSUPPORTED` for an element type that has no array here (8-bit floats).
 */
export function readSafetensors(bytes: ArrayBuffer | Uint8Array): Safetensors {
  const file = asBytes(bytes);
  const headerLength = headerLengthOf(file);
  const header = parseHeader(file.subarray(PREFIX_BYTES, PREFIX_BYTES + headerLength));
  const start = PREFIX_BYTES + headerLength;
  const entries: Entry[] = [];
  let metadata: ReadonlyMap<string, string> = new Map();
  for (const [name, value] of Object.entries(header)) {
    if (name === METADATA) metadata = metadataOf(value);
    else entries.push(entryOf(name, value, file.byteLength - start));
  }
  refuseGapsAndOverlaps(entries, file.byteLength - start);
  return { tensors: new Map(entries.map((entry) => [entry.name, tensorOf(entry, file, start)])), metadata };
}

function asBytes(bytes: unknown): Uint8Array {
  if (bytes instanceof Uint8Array) return bytes;
  if (bytes instanceof ArrayBuffer) return new Uint8Array(bytes);
  throw wrongArgument(`readSafetensors: bytes must be an ArrayBuffer or a Uint8Array, not ${describe(bytes)}`);
}

function wrongArgument(message: string): SaccadeTypeError {
  return new SaccadeTypeError("ERR_SACCADE_ARGUMENT", message);
}

function headerLengthOf(file: Uint8Array): number {
  if (file.byteLength < PREFIX_BYTES) {
    throw corrupt(`the file has ${file.byteLength} bytes, the header's length alone takes ${PREFIX_BYTES}`);
  }
  const view = new DataView(file.buffer, file.byteOffset, PREFIX_BYTES);
  const length = view.getBigUint64(0, true);
  const limit = Math.min(MAX_HEADER_BYTES, file.byteLength - PREFIX_BYTES);
  if (length > BigInt(limit)) {
    throw corrupt(`the header is said to have ${length} bytes, there can be ${limit} at most`);
  }
  return Number(length);
}

function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  let text: string;
  let header: unknown;
  try {
    // A copy: TextDecoder refuses shared memory in browsers. A byte order mark is not JSON, so it is not skipped.
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.slice());
    header = JSON.parse(text);
  } catch (cause) {
    // Also an engine's stack limit, which brackets nested a million deep reach.
    throw corrupt(`the header is not JSON (${cause instanceof Error ? cause.message.slice(0, 80) : cause})`);
  }
  if (text.charCodeAt(0) !== 0x7b || !isRecord(header)) throw corrupt("the header is not a JSON object");
  const twice = duplicateKey(text);
  if (twice !== undefined) throw corrupt(`the header names ${quote(twice)} twice`);
  return header;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function metadataOf(value: unknown): ReadonlyMap<string, string> {
  if (!isRecord(value)) throw corrupt(`${METADATA} is not an object`);
  const metadata = new Map<string, string>();
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") throw corrupt(`${METADATA} ${quote(key)} is not a string`);
    metadata.set(key, text);
  }
  return metadata;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function entryOf(name: string, value: unknown, dataLength: number): Entry {
  const what = `tensor ${quote(name)}`;
  if (!isRecord(value)) throw corrupt(`${what} is not an object`);
  const field = (key: string): unknown => (Object.hasOwn(value, key) ? value[key] : undefined);
  const code = field("dtype");
  const shape = field("shape");
  const offsets = field("data_offsets");
  if (typeof code !== "string" || !DTYPE_CODE.test(code)) throw corrupt(`${what} has no dtype`);
  if (!Array.isArray(shape) || !shape.every(isCount)) throw corrupt(`${what} has no shape of whole numbers`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    throw corrupt(`${what} has no pair of data_offsets`);
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end || end > dataLength) {
    throw corrupt(`${what} lies at [${begin}, ${end}), the data has ${dataLength} bytes`);
  }
  const type = TYPES.find((candidate) => candidate.code === code);
  if (type === undefined) {
    throw new SaccadeError("ERR_SACCADE_UNSUPPORTED", `readSafetensors: ${what} has dtype ${code}, which is not read`);
  }
  const count = elementCount(shape);
  if (count * type.array.BYTES_PER_ELEMENT !== end - begin) {
    throw corrupt(`${what} has ${end - begin} bytes, its shape [${shape.slice(0, 8)}] says otherwise (${code})`);
  }
  return { name, type, shape: Object.freeze([...shape]), begin, end };
}

/** A product beyond 2^53 is not exact, but neither can it equal a byte length that is; and nothing times 0 stays 0. */
function elementCount(shape: readonly number[]): number {
  return shape.includes(0) ? 0 : shape.reduce((count, extent) => count * extent, 1);
}

/** As the format asks: the tensors cover the data exactly once, so no byte can hide or be read under two names. */
function refuseGapsAndOverlaps(entries: readonly Entry[], dataLength: number): void {
  let at = 0;
  for (const { name, begin, end } of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin < at) throw corrupt(`tensor ${quote(name)} at [${begin}, ${end}) overlaps another`);
    if (begin > at) throw corrupt(`bytes [${at}, ${begin}) of the data belong to no tensor`);
    at = end;
  }
  if (at !== dataLength) throw corrupt(`bytes [${at}, ${dataLength}) of the data belong to no tensor`);
}

function tensorOf({ type, shape, begin, end }: Entry, file: Uint8Array, start: number): SafetensorsTensor {
  const width = type.array.BYTES_PER_ELEMENT;
  const byteOffset = file.byteOffset + start + begin;
  const inPlace = file.buffer instanceof ArrayBuffer && byteOffset % width === 0;
  const buffer = inPlace ? (file.buffer as ArrayBuffer) : file.slice(start + begin, start + end).buffer;
  const data = new type.array(buffer as ArrayBuffer, inPlace ? byteOffset : 0, (end - begin) / width);
  return { data, shape, dtype: type.dtype } as SafetensorsTensor;
}

/**
 * Writes a safetensors file: widest elements first, then by name, so that every tensor is aligned and the same tensors
 * give the same bytes.
 *
 * @param tensors contiguous row-major tensors by name
 * @param metadata free text beside them
 */
export function writeSafetensors(
  tensors: Iterable<readonly [string, SafetensorsInput]> | Readonly<Record<string, SafetensorsInput>>,
  metadata: Iterable<readonly [string, string]> | Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const named = [...entriesOf(tensors)].map(([name, tensor]) => ({ name, tensor, type: typeOf(name, tensor) }));
  named.sort(
    (a, b) =>
      b.type.array.BYTES_PER_ELEMENT - a.type.array.BYTES_PER_ELEMENT ||
      (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  );
  const header: [string, unknown][] = [];
  if (named.some(({ name }) => name === METADATA))
    throw wrongArgument(`writeSafetensors: no tensor can be ${METADATA}`);
  const pairs = [...entriesOf(metadata)];
  for (const [key, text] of pairs) {
    if (typeof text !== "string") throw wrongArgument(`writeSafetensors: metadata ${quote(key)} is not a string`);
  }
  if (pairs.length > 0) header.push([METADATA, Object.fromEntries(pairs)]);
  let byteLength = 0;
  for (const { name, tensor, type } of named) {
    const end = byteLength + tensor.data.byteLength;
    header.push([name, { dtype: type.code, shape: tensor.shape, data_offsets: [byteLength, end] }]);
    byteLength = end;
  }
  refuseRepeatedNames(header.map(([name]) => name));
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const start = PREFIX_BYTES + Math.ceil(json.byteLength / 8) * 8;
  const file = new Uint8Array(start + byteLength).fill(0x20, PREFIX_BYTES, start);
  new DataView(file.buffer).setBigUint64(0, BigInt(start - PREFIX_BYTES), true);
  file.set(json, PREFIX_BYTES);
  let at = start;
  for (const { tensor } of named) {
    const { buffer, byteOffset, byteLength } = tensor.data;
    file.set(new Uint8Array(buffer, byteOffset, byteLength), at);
    at += byteLength;
  }
  return file;
}

function entriesOf<T>(source: Iterable<readonly [string, T]> | Readonly<Record<string, T>>) {
  return Symbol.iterator in source ? (source as Iterable<readonly [string, T]>) : Object.entries(source);
}

function refuseRepeatedNames(names: readonly string[]): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) throw wrongArgument(`writeSafetensors: the name ${quote(name)} is taken twice`);
    seen.add(name);
  }
}

function typeOf(name: string, { data, shape, dtype }: SafetensorsInput): (typeof TYPES)[number] {
  const what = `writeSafetensors: tensor ${quote(name)}`;
  const arrayName = Object.prototype.toString.call(data).slice(8, -1);
  const type =
    dtype === undefined
      ? TYPES.find(({ array, dtype }) => array.name === arrayName && dtype !== "float16" && dtype !== "bfloat16")
      : TYPES.find((candidate) => candidate.dtype === dtype);
  const fits =
    type !== undefined && (type.array.name === arrayName || (dtype === "float16" && arrayName === "Float16Array"));
  if (type === undefined || !fits) throw wrongArgument(`${what}: a ${arrayName} cannot be ${dtype ?? "written"}`);
  if (!Array.isArray(shape) || !shape.every(isCount)) throw wrongArgument(`${what}: shape must be whole numbers`);
  if (elementCount(shape) * type.array.BYTES_PER_ELEMENT !== data.byteLength) {
    throw wrongArgument(`${what}: ${data.byteLength} bytes do not fill shape [${shape}] of ${type.dtype}`);
  }
  return type;
}
