import { readFileSync } from "node:fs";
import fc from "fast-check";
import { readSafetensors, type SafetensorsInput, writeSafetensors } from "saccade/interop";
import { describe, expect, it } from "vitest";

/** A file with this header text and so many zero bytes of data. */
function file(header: string, dataLength = 0): Uint8Array {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.byteLength + dataLength);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.byteLength), true);
  bytes.set(text, 8);
  return bytes;
}

const tensor = (dtype: string, shape: unknown, offsets: unknown) =>
  JSON.stringify({ dtype, shape, data_offsets: offsets });

describe("readSafetensors", () => {
  it("reads the recorded model file", () => {
    const { tensors, metadata } = readSafetensors(
      readFileSync(new URL("../data/minilm/minilm-attention.safetensors", import.meta.url)),
    );
    expect(Object.fromEntries([...tensors].map(([name, { dtype, shape }]) => [name, [dtype, ...shape]]))).toEqual({
      key: ["float32", 4, 12, 120, 32],
      lse: ["float32", 4, 12, 120],
      output: ["float32", 4, 12, 120, 32],
      query: ["float32", 4, 12, 120, 32],
      value: ["float32", 4, 12, 120, 32],
      kv_lengths: ["int32", 4],
    });
    expect([...(tensors.get("kv_lengths")?.data ?? [])]).toEqual([13, 22, 37, 120]);
    expect(metadata.get("model")).toBe("sentence-transformers/all-MiniLM-L6-v2");
  });

  it("reads a file written by hand, byte by byte", () => {
    const bytes = file(`{"a":${tensor("F32", [2], [0, 8])},"b":${tensor("BF16", [1, 1], [8, 10])}}   `, 10);
    bytes.set([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0x80, 0x3f], bytes.byteLength - 10);
    const { tensors, metadata } = readSafetensors(bytes);
    expect(tensors.get("a")).toEqual({ data: new Float32Array([1, -2]), shape: [2], dtype: "float32" });
    expect(tensors.get("b")).toEqual({ data: new Uint16Array([0x3f80]), shape: [1, 1], dtype: "bfloat16" });
    expect(metadata.size).toBe(0);
  });

  it("gives views where the alignment allows it and copies where not", () => {
    const header = `{"a":${tensor("F32", [1], [0, 4])}}`;
    const aligned = file(header + " ".repeat((4 - (header.length % 4)) % 4), 4);
    const shifted = file(`${header}${" ".repeat((4 - (header.length % 4)) % 4)} `, 4);
    expect(readSafetensors(aligned).tensors.get("a")?.data.buffer).toBe(aligned.buffer);
    expect(readSafetensors(shifted).tensors.get("a")?.data.buffer).not.toBe(shifted.buffer);
    // The same bytes at an odd address inside a larger buffer.
    const odd = new Uint8Array(aligned.byteLength + 1).subarray(1);
    odd.set(aligned);
    expect(readSafetensors(odd).tensors.get("a")?.data).toEqual(new Float32Array(1));
  });

  it("accepts an empty file, empty tensors and scalars", () => {
    expect(readSafetensors(file("{}")).tensors.size).toBe(0);
    const { tensors } = readSafetensors(
      file(`{"none":${tensor("F32", [0, 2 ** 52, 2 ** 52], [0, 0])},"one":${tensor("F64", [], [0, 8])}}`, 8),
    );
    expect(tensors.get("none")?.data.length).toBe(0);
    expect(tensors.get("one")?.data).toEqual(new Float64Array(1));
  });

  const f32 = (offsets: unknown, shape: unknown = [1]) => tensor("F32", shape, offsets);
  const hostile: [string, Uint8Array, RegExp][] = [
    ["no bytes", new Uint8Array(0), /has 0 bytes/],
    ["a truncated length", new Uint8Array(7), /has 7 bytes/],
    ["a header beyond the end", new Uint8Array([200, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x7d]), /200 bytes, there can be 2/],
    ["a header of 2^64 - 1 bytes", new Uint8Array(16).fill(0xff), /18446744073709551615 bytes/],
    [
      "a header length that is small only in its low half",
      new Uint8Array([2, 0, 0, 0, 1, 0, 0, 0, 0x7b, 0x7d]),
      /at most/,
    ],
    ["no header", file(""), /not JSON/],
    ["cut JSON", file('{"a":'), /not JSON/],
    ["bytes that are not UTF-8", new Uint8Array([3, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0xff, 0x7d]), /not JSON/],
    ["a byte order mark", file("\ufeff{}"), /not JSON/],
    ["leading white space", file(" {}"), /not a JSON object/],
    ["an array", file("[]"), /not a JSON object/],
    ["brackets a million deep", file("[".repeat(1_000_000)), /not JSON/],
    ["a name twice", file(`{"a":${f32([0, 4])},"a":${f32([0, 4])}}`, 4), /names "a" twice/],
    ["a name twice, once escaped", file(`{"a":${f32([0, 4])},"\\u0061":${f32([0, 4])}}`, 4), /names "a" twice/],
    ["a field twice", file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"shape":[1]}}', 4), /"shape" twice/],
    ["a tensor that is a number", file('{"a":4}'), /"a" is not an object/],
    ["a tensor that is null", file('{"a":null}'), /"a" is not an object/],
    ["a tensor without fields", file('{"a":{}}'), /has no dtype/],
    ["fields of the prototype only", file('{"a":{"__proto__":{"dtype":"F32"}}}'), /has no dtype/],
    ["a dtype that is no code", file(`{"a":${tensor("\u001b[31m", [1], [0, 4])}}`, 4), /has no dtype/],
    ["a shape that is text", file(`{"a":${f32([0, 4], "1")}}`, 4), /no shape/],
    ["a negative extent", file(`{"a":${f32([0, 4], [-1])}}`, 4), /no shape/],
    ["a broken extent", file(`{"a":${f32([0, 4], [1.5])}}`, 4), /no shape/],
    ["an extent beyond 2^53", file('{"a":{"dtype":"F32","shape":[1e300],"data_offsets":[0,4]}}', 4), /no shape/],
    ["a product beyond 2^1023", file(`{"a":${f32([0, 4], Array(40).fill(2 ** 52))}}`, 4), /says otherwise/],
    ["a product that wraps to the length", file(`{"a":${f32([0, 0], [2 ** 32, 2 ** 32])}}`), /says otherwise/],
    ["one offset", file(`{"a":${f32([0])}}`, 4), /no pair of data_offsets/],
    ["offsets as text", file(`{"a":${f32(["0", "4"])}}`, 4), /no pair of data_offsets/],
    ["offsets the wrong way round", file(`{"a":${f32([4, 0])}}`, 4), /lies at \[4, 0\)/],
    ["a tensor beyond the end", file(`{"a":${f32([0, 8], [2])}}`, 4), /the data has 4 bytes/],
    ["a shape that disagrees with the bytes", file(`{"a":${f32([0, 4], [2])}}`, 4), /says otherwise/],
    ["two tensors over the same bytes", file(`{"a":${f32([0, 4])},"b":${f32([0, 4])}}`, 4), /overlaps another/],
    [
      "tensors that overlap in part",
      file(`{"a":${f32([0, 8], [2])},"b":${f32([4, 12], [2])}}`, 12),
      /overlaps another/,
    ],
    ["a gap", file(`{"a":${f32([0, 4])},"b":${f32([8, 12])}}`, 12), /\[4, 8\) of the data belong to no tensor/],
    ["bytes left over", file(`{"a":${f32([0, 4])}}`, 5), /\[4, 5\) of the data belong to no tensor/],
    ["metadata that is a list", file('{"__metadata__":[]}'), /__metadata__ is not an object/],
    ["metadata that is a number", file('{"__metadata__":{"a":1}}'), /"a" is not a string/],
  ];
  it.each(hostile)("refuses %s", (_, bytes, message) => {
    expect(() => readSafetensors(bytes)).toThrow(
      expect.objectContaining({
        name: "SaccadeError",
        code: "ERR_SACCADE_CORRUPT",
        message: expect.stringMatching(message),
      }),
    );
  });

  it("says which element type it cannot read", () => {
    expect(() => readSafetensors(file(`{"a":${tensor("F8_E4M3", [4], [0, 4])}}`, 4))).toThrow(
      expect.objectContaining({ code: "ERR_SACCADE_UNSUPPORTED", message: expect.stringContaining("F8_E4M3") }),
    );
  });

  it.each([null, undefined, "{}", [1, 2], new Uint16Array(8)])("refuses %o as bytes", (bytes) => {
    expect(() => readSafetensors(bytes as never)).toThrow(TypeError);
    expect(() => readSafetensors(bytes as never)).toThrow(expect.objectContaining({ code: "ERR_SACCADE_ARGUMENT" }));
  });

  it("answers any bytes with tensors inside them or with one of its errors", () => {
    const good = writeSafetensors({
      a: { data: new Float32Array(3), shape: [3] },
      b: { data: new Uint8Array(2), shape: [2] },
    });
    const change = fc.array(fc.tuple(fc.nat(good.byteLength - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    const damaged = fc.tuple(change, fc.nat(good.byteLength)).map(([changes, length]) => {
      const bytes = good.slice(0, length < 16 ? length : good.byteLength);
      for (const [at, value] of changes) bytes[at] = value;
      return bytes;
    });
    fc.assert(
      fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 64 })), (bytes) => {
        try {
          for (const { data, shape } of readSafetensors(bytes).tensors.values()) {
            expect(data.length).toBe(shape.reduce((a, b) => a * b, 1));
          }
        } catch (error) {
          expect(["ERR_SACCADE_CORRUPT", "ERR_SACCADE_UNSUPPORTED"]).toContain((error as { code?: string }).code);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("writeSafetensors", () => {
  const arrays = {
    float64: Float64Array,
    float32: Float32Array,
    float16: Uint16Array,
    bfloat16: Uint16Array,
    int64: BigInt64Array,
    int32: Int32Array,
    int16: Int16Array,
    int8: Int8Array,
    uint64: BigUint64Array,
    uint32: Uint32Array,
    uint16: Uint16Array,
    uint8: Uint8Array,
    bool: Uint8Array,
  } as const;
  const anyTensor = fc
    .tuple(fc.constantFrom(...(Object.keys(arrays) as (keyof typeof arrays)[])), fc.array(fc.nat(4), { maxLength: 4 }))
    .chain(([dtype, shape]) => {
      const byteLength = shape.reduce((a, b) => a * b, 1) * arrays[dtype].BYTES_PER_ELEMENT;
      return fc
        .uint8Array({ minLength: byteLength, maxLength: byteLength })
        .map((bytes) => ({ dtype, shape, data: new arrays[dtype](bytes.slice().buffer) }));
    });
  const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
    new Uint8Array(buffer, byteOffset, byteLength).slice();

  it("is read back bit for bit, whatever the names, types and shapes", () => {
    const names = fc.uniqueArray(fc.string({ unit: "binary" }), { maxLength: 6 });
    const texts = fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 });
    fc.assert(
      fc.property(names, fc.array(anyTensor, { minLength: 6, maxLength: 6 }), texts, (keys, values, metadata) => {
        const given = new Map(keys.map((name, i) => [name, values[i]!]));
        const file = readSafetensors(writeSafetensors(given, metadata));
        expect([...file.tensors.keys()].sort()).toEqual([...keys].sort());
        for (const [name, { data, shape, dtype }] of given) {
          const read = file.tensors.get(name)!;
          expect([read.dtype, ...read.shape]).toEqual([dtype, ...shape]);
          expect(bytesOf(read.data)).toEqual(bytesOf(data));
          expect(read.data.byteOffset % read.data.BYTES_PER_ELEMENT).toBe(0);
        }
        expect([...file.metadata].sort()).toEqual(Object.entries(metadata).sort());
      }),
    );
  });

  it("does not depend on the order in which tensors are given", () => {
    const a = { data: new Float32Array([1, 2]), shape: [2] };
    const b = { data: new Uint8Array([3]), shape: [1] };
    expect(writeSafetensors({ b, a })).toEqual(writeSafetensors({ a, b }));
  });

  const refused: [string, SafetensorsInput, RegExp][] = [
    ["a shape that does not fit", { data: new Float32Array(3), shape: [2] }, /do not fill/],
    ["a type that is not the array's", { data: new Float32Array(2), shape: [2], dtype: "int32" }, /cannot be int32/],
    ["a view of bytes without a type", { data: new DataView(new ArrayBuffer(4)), shape: [4] }, /cannot be written/],
    ["a negative extent", { data: new Float32Array(2), shape: [-2] }, /whole numbers/],
  ];
  it.each(refused)("refuses %s", (_, tensor, message) => {
    expect(() => writeSafetensors({ tensor })).toThrow(
      expect.objectContaining({ code: "ERR_SACCADE_ARGUMENT", message: expect.stringMatching(message) }),
    );
  });

  it("refuses a name given twice and the name of the metadata", () => {
    const one = { data: new Float32Array(1), shape: [1] };
    const code = expect.objectContaining({ code: "ERR_SACCADE_ARGUMENT" });
    expect(() =>
      writeSafetensors([
        ["a", one],
        ["a", one],
      ]),
    ).toThrow(code);
    expect(() => writeSafetensors({ __metadata__: one })).toThrow(code);
    expect(() => writeSafetensors({ a: one }, { a: 1 as never })).toThrow(code);
  });
});
