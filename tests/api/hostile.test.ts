// Callers whose objects run code, lie about their length, or change under our hands.
import { attention, init, Tensor, type TensorLike } from "saccade";
import { describe, expect, it } from "vitest";
import { counted, expectRefusal } from "./refusal.ts";

const x = counted(2, 4);
const expected = [...attention(x, x, x).out.data];

describe("detached and resized buffers", () => {
  const detached = (): Float32Array => {
    const data = new Float32Array(8);
    structuredClone(data.buffer, { transfer: [data.buffer] });
    return data;
  };

  it("a transferred buffer", async () => {
    const gone = { data: detached(), shape: [2, 4] };
    const message = /^attention: key\.data lies over a buffer that has been detached/;
    await expectRefusal(() => attention(x, gone, x), "DETACHED", message);
    await expectRefusal(
      () => attention(x, x, x, { out: gone }),
      "DETACHED",
      /^attention: out\.data lies over a buffer/,
    );
    await expectRefusal(() => Tensor.from(gone), "DETACHED", /^Tensor\.from: source\.data/);
  });

  it("an empty array over a live buffer is not detached", () => {
    const empty = { data: new Float32Array(0), shape: [0, 4] };
    expect(attention(empty, empty, empty).out.shape).toEqual([0, 4]);
  });

  it("a resizable buffer that shrank below the view", async () => {
    const buffer = new (
      ArrayBuffer as unknown as new (
        n: number,
        o: object,
      ) => ArrayBuffer & { resize(n: number): void }
    )(64, { maxByteLength: 64 });
    const data = new Float32Array(buffer, 32, 8);
    const tracking = new Float32Array(buffer);
    buffer.resize(32);
    await expectRefusal(() => attention({ data, shape: [2, 4] }, x, x), "DETACHED", /detached .* or resized/);
    tracking.set(x.data);
    expect([...attention({ data: tracking, shape: [2, 4] }, x, x).out.data]).toEqual(expected);
    buffer.resize(16);
    await expectRefusal(() => attention({ data: tracking, shape: [2, 4] }, x, x), "SHAPE", /holds 4 elements/);
  });

  it("a getter that detaches another argument's buffer", () => {
    const victim = new Float32Array(x.data);
    const value = {
      get data() {
        structuredClone(victim.buffer, { transfer: [victim.buffer] });
        return x.data;
      },
      shape: [2, 4],
    };
    return expectRefusal(() => attention({ data: victim, shape: [2, 4] }, x, value), "DETACHED", /query\.data/);
  });

  it("an option getter that detaches an input", () => {
    const victim = new Float32Array(x.data);
    const options = {
      get scale() {
        structuredClone(victim.buffer, { transfer: [victim.buffer] });
        return 1;
      },
    };
    return expectRefusal(() => attention(x, x, { data: victim, shape: [2, 4] }, options), "DETACHED", /value\.data/);
  });
});

describe("objects that run code", () => {
  it("every property is read once", () => {
    const reads: string[] = [];
    const watch = <T extends object>(target: T, name: string): T =>
      new Proxy(target, {
        get(object, property, receiver) {
          reads.push(`${name}.${String(property)}`);
          return Reflect.get(object, property, receiver);
        },
      });
    const query = watch({ data: x.data, shape: watch([2, 4], "shape") }, "query");
    const options = watch({ causal: true, kvLengths: watch([2], "kvLengths"), returnLse: true }, "options");
    expect(attention(query, x, x, options).out.shape).toEqual([2, 4]);
    expect(new Set(reads).size).toBe(reads.length);
    expect(reads).toContain("shape.1");
    expect(reads).toContain("options.kvLengths");
  });

  it("a shape that answers differently each time cannot pass the check", () => {
    let asked = 0;
    const shape = {
      length: 2,
      0: 2,
      get 1() {
        asked += 1;
        return asked === 1 ? 4 : 2 ** 20;
      },
    };
    expect([...attention({ data: x.data, shape }, x, x).out.data]).toEqual(expected);
    expect(asked).toBe(1);
  });

  it("a length that lies is not believed", () => {
    const short = new Float32Array(2);
    Object.defineProperty(short, "length", { value: 8 });
    class Liar extends Float32Array {
      override get length(): number {
        return 8;
      }
    }
    return Promise.all(
      [short, new Liar(new ArrayBuffer(8))].map((data) =>
        expectRefusal(() => attention({ data, shape: [2, 4] }, x, x), "SHAPE", /holds 2 elements/),
      ),
    );
  });

  it("an error of the caller's own getter comes through, and nothing is lost", async () => {
    const engine = await init();
    const before = engine.stats().liveBytes;
    const broken = {
      get data(): Float32Array {
        throw new EvalError("mine");
      },
      shape: [2, 4],
    };
    expect(() => attention(x, x, broken)).toThrow(EvalError);
    expect(engine.stats().liveBytes).toBe(before);
  });

  it("calling attention from inside a getter works", () => {
    const inner = {
      get data() {
        return attention(x, x, x).out.data;
      },
      shape: [2, 4],
    };
    expect(attention(x, x, inner).out.data).toEqual(
      attention(x, x, { data: Float32Array.from(expected), shape: [2, 4] }).out.data,
    );
  });

  it("inherited options do not count, nor do additions to Object.prototype", () => {
    const inherited = Object.create({ causal: true }) as object;
    expect([...attention(x, x, x, inherited).out.data]).toEqual(expected);
    Object.defineProperty(Object.prototype, "strides", { value: [0, 1], configurable: true });
    Object.defineProperty(Object.prototype, "engine", { value: {}, configurable: true });
    try {
      expect([...attention(x, x, x, {}).out.data]).toEqual(expected);
    } finally {
      Reflect.deleteProperty(Object.prototype, "strides");
      Reflect.deleteProperty(Object.prototype, "engine");
    }
  });

  it("tensors of other libraries: classes with getters", () => {
    class TheirTensor implements TensorLike {
      get data(): Float32Array {
        return x.data;
      }
      get shape(): number[] {
        return [2, 4];
      }
    }
    expect([...attention(new TheirTensor(), x, x).out.data]).toEqual(expected);
  });

  it("a forged Tensor is not believed", () =>
    expectRefusal(
      () => attention(Object.create(Tensor.prototype) as Tensor, x, x),
      "ARGUMENT",
      /^attention: query has no data; expected a Tensor/,
    ));
});

describe("odd but right", () => {
  it("-0 and typed arrays as shape", () => {
    const empty = { data: new Float32Array(0), shape: [-0, 4] };
    expect(Object.is(attention(empty, x, x).out.shape[0], 0)).toBe(true);
    expect([...attention({ data: x.data, shape: new Uint32Array([2, 4]) }, x, x).out.data]).toEqual(expected);
  });

  it("shared memory is read once, and can be written", () => {
    const shared = new Float32Array(new SharedArrayBuffer(32));
    shared.set(x.data);
    const out = new Float32Array(new SharedArrayBuffer(32));
    const result = attention({ data: shared, shape: [2, 4] }, x, x, { out: { data: out, shape: [2, 4] } });
    expect([...out]).toEqual(expected);
    expect(result.out.data).toBe(out);
  });

  it("inputs never change", () => {
    const [q, k, v] = [counted(2, 4), counted(2, 4), counted(2, 4)];
    attention(q, k, v, { causal: true, returnLse: true, returnWeights: true });
    for (const { data } of [q, k, v]) expect(data).toEqual(x.data);
  });
});
