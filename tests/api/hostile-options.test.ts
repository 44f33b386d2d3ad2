// Options whose properties run code, lie about their length, or come from elsewhere than their owner.
import { attention, BitMask } from "saccade";
import { describe, expect, it } from "vitest";
import { bitsOf } from "./oracle.ts";
import { counted, expectRefusal } from "./refusal.ts";

const x = counted(1, 3, 2, 4);
const mask = () => ({ data: Uint8Array.of(1, 0, 1), shape: [3] });

describe("options", () => {
  it("are read once each, nested ones too", () => {
    const reads: string[] = [];
    const watch = <T extends object>(target: T, path: string): T =>
      new Proxy(target, {
        get(object, name) {
          reads.push(`${path}${String(name)}`);
          return Reflect.get(object, name);
        },
      });
    const options = watch(
      {
        window: watch({ left: 1, first: 1 }, "window."),
        sinks: watch([0, 1], "sinks."),
        alibiSlopes: watch({ length: 2, 0: 0.5, 1: 0.25 }, "slopes."),
        qLengths: watch([3], "qLengths."),
        mask: watch(mask(), "mask."),
        returnWeights: watch({ topK: 2 }, "weights."),
      },
      "",
    );
    attention(x, x, x, options);
    expect(reads.filter((name, i) => reads.indexOf(name) !== i)).toEqual([]);
    expect(reads).toEqual(
      expect.arrayContaining(["window.left", "sinks.1", "slopes.length", "mask.data", "weights.topK"]),
    );
  });

  it("are their owner's own", () => {
    const plain = bitsOf(attention(x, x, x).out.data);
    const inherited = Object.create({ softcap: 1, sinks: [9, 9], causal: true }) as object;
    expect(bitsOf(attention(x, x, x, inherited).out.data)).toEqual(plain);
    const window = Object.create({ left: 0 }) as object;
    expect(bitsOf(attention(x, x, x, { window }).out.data)).toEqual(plain);
    const prototype = Object.prototype as { left?: number };
    prototype.left = 0;
    try {
      expect(bitsOf(attention(x, x, x, { window: {} }).out.data)).toEqual(plain);
    } finally {
      delete prototype.left;
    }
  });

  it("that detach what was read before them are refused", async () => {
    const victim = mask();
    const options = {
      mask: victim,
      get sinks() {
        structuredClone(victim.data.buffer, { transfer: [victim.data.buffer] });
        return [0, 0];
      },
    };
    await expectRefusal(() => attention(x, x, x, options), "DETACHED", /^attention: mask\.data lies over a buffer/);
    const list = {
      length: 2,
      0: 1,
      get 1(): number {
        throw new RangeError("mine");
      },
    };
    expect(() => attention(x, x, x, { sinks: list })).toThrow("mine");
    expect(bitsOf(attention(x, x, x, { mask: mask() }).out.data)).toEqual(
      bitsOf(attention(x, x, x, { mask: mask() }).out.data),
    );
  });

  it("shared buffers are snapshots", () => {
    const shared = new Uint8Array(new SharedArrayBuffer(3));
    shared.set([1, 0, 1]);
    const expected = bitsOf(attention(x, x, x, { mask: mask() }).out.data);
    expect(bitsOf(attention(x, x, x, { mask: { data: shared, shape: [3] } }).out.data)).toEqual(expected);
    const stored = BitMask.fromTensor({ data: shared, shape: [1, 3] });
    shared.fill(0);
    expect(bitsOf(attention(x, x, x, { mask: stored }).out.data)).toEqual(expected);
  });

  it("a BitMask cannot be forged", async () => {
    const forged = Object.create(BitMask.prototype) as BitMask;
    await expectRefusal(() => attention(x, x, x, { mask: forged }), "ARGUMENT", /^attention: mask has no data/);
    expect(() => forged.not()).toThrow(TypeError);
  });
});
