// A Tensor's life: made, viewed, copied out, disposed of; every dtype; every refusal.
import { createEngine, init, Tensor, type TensorLike } from "saccade";
import { describe, expect, expectTypeOf, it } from "vitest";
import { counted, expectRefusal, thrownBy, withEngine } from "./refusal.ts";

const DATA = {
  float32: new Float32Array([1.5, -0, Number.NaN, Number.POSITIVE_INFINITY, 1e-45, 6]),
  float16: new Uint16Array([0x3c00, 0x8000, 0x7e01, 0x7c00, 1, 0x4000]),
  bfloat16: new Uint16Array([0x3f80, 0x8000, 0x7fc1, 0x7f80, 1, 0x4000]),
  int32: new Int32Array([1, -1, 2 ** 31 - 1, -(2 ** 31), 0, 7]),
  uint8: new Uint8Array([0, 1, 2, 254, 255, 7]),
  bool: new Uint8Array([0, 1, 2, 1, 0, 1]),
} as const;
const DTYPES = Object.keys(DATA) as (keyof typeof DATA)[];
const bytesOf = (data: ArrayBufferView): number[] => [...new Uint8Array(data.buffer, data.byteOffset, data.byteLength)];

describe.each(DTYPES)("%s", (dtype) => {
  const data = DATA[dtype];

  it("goes in and comes out with every bit", async () => {
    const engine = await init();
    const before = engine.stats();
    const tensor = Tensor.from({ data, shape: [2, 3], dtype });
    expect(tensor.dtype).toBe(dtype);
    expect(tensor.shape).toEqual([2, 3]);
    expect(bytesOf(tensor.view() as ArrayBufferView)).toEqual(bytesOf(data));
    const plain = tensor.toPlain();
    expect(bytesOf(plain.data as ArrayBufferView)).toEqual(bytesOf(data));
    expect(plain).toMatchObject({ shape: [2, 3], dtype });
    expect(engine.stats().tensors).toBe(before.tensors + 1);
    expect(engine.stats().liveBytes).toBe(before.liveBytes + 64);
    tensor.dispose();
    tensor.dispose();
    expect(tensor.disposed).toBe(true);
    expect(engine.stats()).toMatchObject({ tensors: before.tensors, liveBytes: before.liveBytes });
    expect(bytesOf(plain.data as ArrayBufferView)).toEqual(bytesOf(data));
  });

  it("strided views are packed", () => {
    const strided = { data, shape: [2, 2], strides: [3, 1], offset: 1, dtype } as TensorLike;
    using tensor = Tensor.from(strided);
    const size = data.BYTES_PER_ELEMENT;
    const all = bytesOf(data);
    expect(bytesOf(tensor.view() as ArrayBufferView)).toEqual([
      ...all.slice(size, 3 * size),
      ...all.slice(4 * size, 6 * size),
    ]);
  });

  it("zeros are zeros, also where something lay before", () => {
    Tensor.from({ data, shape: [6], dtype }).dispose();
    using tensor = Tensor.zeros([2, 3], dtype);
    expect(bytesOf(tensor.view() as ArrayBufferView)).toEqual(new Array(data.byteLength).fill(0));
    expect(tensor.dtype).toBe(dtype);
  });
});

describe("life", () => {
  it("the default dtype follows the array, and is float32 where there is none", () => {
    using ints = Tensor.from({ data: new Int32Array(2), shape: [2] });
    expectTypeOf(ints).toEqualTypeOf<Tensor<"int32">>();
    expect(ints.dtype).toBe("int32");
    using bytes = Tensor.from({ data: new Uint8Array(2), shape: [2] });
    expect(bytes.dtype).toBe("uint8");
    using zeros = Tensor.zeros([2]);
    expectTypeOf(zeros.view()).toEqualTypeOf<Float32Array<ArrayBuffer>>();
    expect(zeros.dtype).toBe("float32");
  });

  it("no rank, no elements, many axes", () => {
    using scalar = Tensor.from({ data: new Float32Array([5]), shape: [] });
    expect(scalar.toPlain()).toEqual({ data: new Float32Array([5]), shape: [], dtype: "float32" });
    using none = Tensor.zeros([2 ** 31 - 1, 0, 2 ** 31 - 1, 2 ** 31 - 1]);
    expect(none.view()).toHaveLength(0);
    using deep = Tensor.from(counted(1, 2, 1, 2, 1, 2, 1, 2));
    expect([...deep.view()]).toEqual([...counted(16).data]);
  });

  it("its shape is its own and cannot change", () => {
    const shape = [2, 3];
    using tensor = Tensor.zeros(shape);
    shape[0] = 99;
    expect(tensor.shape).toEqual([2, 3]);
    expect(Object.isFrozen(tensor.shape)).toBe(true);
  });

  it("view() is the memory itself, toPlain() a copy", () => {
    using tensor = Tensor.zeros([4]);
    const plain = tensor.toPlain();
    tensor.view().set([1, 2, 3, 4]);
    expect([...tensor.view()]).toEqual([1, 2, 3, 4]);
    expect([...plain.data]).toEqual([0, 0, 0, 0]);
  });

  it("a copy of a Tensor, within an engine and from one to another", () =>
    withEngine({}, (engine) => {
      using tensor = Tensor.from(counted(2, 3));
      using same = Tensor.from(tensor);
      using other = Tensor.from(tensor, { engine });
      using viewed = Tensor.from({ data: tensor.view(), shape: [2, 3] });
      tensor.view().fill(9);
      for (const copy of [same, other, viewed]) expect([...copy.view()]).toEqual([...counted(2, 3).data]);
      expect(engine.stats().tensors).toBe(1);
    }));

  it("`using` disposes, in order and also after an error", async () => {
    const engine = await init();
    const before = engine.stats();
    expect(() => {
      using a = Tensor.zeros([8]);
      using b = Tensor.zeros([8]);
      expect(engine.stats().tensors).toBe(before.tensors + [a, b].length);
      throw new EvalError("mine");
    }).toThrow(EvalError);
    expect(engine.stats()).toMatchObject({ tensors: before.tensors, liveBytes: before.liveBytes });
  });

  it("an engine's tensors go with it", async () => {
    const engine = await createEngine();
    const tensor = Tensor.zeros([4], "float32", { engine });
    engine.dispose();
    engine.dispose();
    expect(engine.disposed).toBe(true);
    expect(tensor.disposed).toBe(true);
    tensor.dispose();
    expect(thrownBy(() => tensor.view()).code).toBe("ERR_SACCADE_DISPOSED");
    expect(thrownBy(() => engine.stats()).message).toBe("stats: the engine has been disposed");
    expect(thrownBy(() => engine.selfTest()).code).toBe("ERR_SACCADE_DISPOSED");
    expect(thrownBy(() => Tensor.zeros([1], "float32", { engine })).code).toBe("ERR_SACCADE_DISPOSED");
  });
});

describe("refusals", () => {
  const call = Tensor as unknown as Record<"from" | "zeros" | "empty", (...args: unknown[]) => unknown>;
  it.each([
    [
      "from nothing",
      () => call.from(undefined),
      "ARGUMENT",
      "Tensor.from: source is undefined; expected a Tensor or { data, shape }",
    ],
    [
      "from a Float64Array",
      () => call.from({ data: new Float64Array(1), shape: [1] }),
      "DTYPE",
      /^Tensor\.from: source\.data is a Float64Array/,
    ],
    [
      "from a short array",
      () => call.from({ data: new Float32Array(1), shape: [2] }),
      "SHAPE",
      /^Tensor\.from: source\.data holds 1 elements/,
    ],
    ["a shape that is none", () => call.zeros(4), "ARGUMENT", /^Tensor\.zeros: shape is 4/],
    [
      "a negative size",
      () => call.empty([2, -2]),
      "SHAPE",
      "Tensor.empty: shape[1] is -2; expected an integer from 0 to 2147483647",
    ],
    [
      "nine axes",
      () => call.zeros(new Array(9).fill(1)),
      "SHAPE",
      /shape has 9 entries; expected an array of at most 8 sizes/,
    ],
    [
      "a dtype that is none",
      () => call.zeros([1], "float64"),
      "DTYPE",
      /^Tensor\.zeros: dtype is "float64"; expected one of "float32", "float16"/,
    ],
    ["a product past 2^53", () => call.empty([2 ** 30, 2 ** 30]), "SHAPE", /more than 2\^53 elements/],
    [
      "more than wasm can hold",
      () => call.empty([65536, 65536]),
      "OUT_OF_MEMORY",
      /^Tensor\.empty: 17179869184 bytes of wasm memory are needed/,
    ],
    ["an unknown option", () => call.zeros([1], "bool", { engnie: 1 }), "OPTION", /did you mean "engine"\?/],
    ["no engine", () => call.zeros([1], "bool", { engine: 1 }), "ARGUMENT", /options\.engine is 1/],
    ["new", () => Reflect.construct(Tensor, [Symbol("key"), {}]), "ARGUMENT", /^Tensor: a tensor is not made with new/],
  ] as const)("%s", (_, refused, code, message) => expectRefusal(refused, code, message));

  it("use after dispose", async () => {
    const tensor = Tensor.zeros([1]);
    tensor.dispose();
    await expectRefusal(
      () => tensor.view(),
      "DISPOSED",
      "Tensor.view: this tensor cannot be used: it has been disposed",
    );
    await expectRefusal(() => tensor.toPlain(), "DISPOSED", /^Tensor\.toPlain: this tensor cannot be used/);
    await expectRefusal(() => Tensor.from(tensor), "DISPOSED", /^Tensor\.from: source cannot be used/);
    expect(tensor.shape).toEqual([1]);
  });
});
