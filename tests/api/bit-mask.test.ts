// BitMask: each rule against its definition, alone and combined, as a picture and as a mask of a call.
import { attention, BitMask, init, planAttention, Tensor } from "saccade";
import { describe, expect, it } from "vitest";
import { bitsOf } from "./oracle.ts";
import { counted, expectRefusal } from "./refusal.ts";

const [B, H, Q, KV] = [2, 4, 70, 133];
const q = counted(B, Q, H, 8);
const k = counted(B, KV, 2, 8);

type Sees = (b: number, h: number, i: number, j: number) => boolean;

const ids = (length: number, step: number): number[] => Array.from({ length }, (_, i) => Math.floor(i / step));
const bits = Uint8Array.from({ length: Q * KV }, (_, i) => ((i * 7) % 5 < 2 ? 3 : 0));
const perHead = Uint8Array.from({ length: B * H * KV }, (_, i) => ((i * 11) % 3 === 0 ? 1 : 0));

const RULES: [string, BitMask, Sees][] = [
  ["causal", BitMask.causal({ qOffset: 3 }), (_b, _h, i, j) => j <= i + 3],
  ["causal, bottom-right", BitMask.causal({ qOffset: "bottom-right" }), (_b, _h, i, j) => j <= i + KV - Q],
  ["window", BitMask.window({ left: 5, right: 2, qOffset: -2 }), (_b, _h, i, j) => i - 7 <= j && j <= i],
  ["open window", BitMask.window({ right: 2, qOffset: "top-left" }), (_b, _h, i, j) => j <= i + 2],
  ["window without sides", BitMask.window({}), () => true],
  ["prefixLm", BitMask.prefixLm({ lengths: [40, 7], qOffset: 1 }), (b, _h, i, j) => j < [40, 7][b]! || j <= i + 1],
  ["prefixLm for all", BitMask.prefixLm({ lengths: [9], qOffset: 0 }), (_b, _h, i, j) => j < 9 || j <= i],
  [
    "document",
    BitMask.document({ query: ids(Q, 16), key: ids(KV, 30) }),
    (_b, _h, i, j) => i >> 4 === Math.floor(j / 30),
  ],
  [
    "document per batch row",
    BitMask.document({ query: [ids(Q, 9), ids(Q, 50)], key: Int32Array.from(ids(KV, 20)) }),
    (b, _h, i, j) => Math.floor(i / (b === 0 ? 9 : 50)) === Math.floor(j / 20),
  ],
  ["dilated", BitMask.dilated({ step: 3, qOffset: -5 }), (_b, _h, i, j) => (i - 5 - j) % 3 === 0],
  [
    "global",
    BitMask.global({ query: [0, 69], key: [1, 132] }),
    (_b, _h, i, j) => i === 0 || i === 69 || j === 1 || j === 132,
  ],
  ["stored", BitMask.fromTensor({ data: bits, shape: [Q, KV] }), (_b, _h, i, j) => bits[i * KV + j] !== 0],
  [
    "stored per batch row and head",
    BitMask.fromTensor({ data: perHead, shape: [B, H, 1, KV], dtype: "bool" }),
    (b, h, _i, j) => perHead[(b * H + h) * KV + j] !== 0,
  ],
];

/** A mask written out to [B, H, Q, KV]. */
const written = (sees: Sees): Uint8Array<ArrayBuffer> => {
  const data = new Uint8Array(B * H * Q * KV);
  let at = 0;
  for (let b = 0; b < B; b++)
    for (let h = 0; h < H; h++)
      for (let i = 0; i < Q; i++) for (let j = 0; j < KV; j++) data[at++] = sees(b, h, i, j) ? 1 : 0;
  return data;
};

function expectSame(mask: BitMask, sees: Sees): void {
  const data = written(sees);
  const picture = mask.toTensor(Q, KV);
  const [batch, heads] = picture.shape.length === 2 ? [1, 1] : [picture.shape[0]!, picture.shape[1]!];
  expect(picture.dtype).toBe("bool");
  let wrong = 0;
  for (let at = 0; at < data.length; at++) {
    const inRow = at % (Q * KV);
    const h = Math.floor(at / (Q * KV)) % H;
    const b = Math.floor(at / (Q * KV * H));
    const index = ((batch === 1 ? 0 : b) * heads + (heads === 1 ? 0 : h)) * Q * KV + inRow;
    if (picture.data[index] !== data[at]) wrong += 1;
  }
  expect(wrong).toBe(0);
  const options = { returnLse: true, outDtype: "float32" } as const;
  const byRule = attention(q, k, k, { ...options, mask });
  const byTensor = attention(q, k, k, { ...options, mask: { data, shape: [B, H, Q, KV] } });
  expect(bitsOf(byRule.out.data)).toEqual(bitsOf(byTensor.out.data));
  expect(bitsOf(byRule.lse.data)).toEqual(bitsOf(byTensor.lse.data));
}

describe("rules", () => {
  it.each(RULES)("%s", (_, mask, sees) => expectSame(mask, sees));

  it.each(RULES)("not %s, and with and without others", (_, mask, sees) => {
    expectSame(mask.not(), (...at) => !sees(...at));
    for (const [, other, otherSees] of RULES.slice(0, 13).filter((_, i) => i % 4 === 0)) {
      expectSame(mask.and(other), (...at) => sees(...at) && otherSees(...at));
      expectSame(other.or(mask.not()), (...at) => otherSees(...at) || !sees(...at));
    }
  });

  it("not twice is the mask again; combinations leave their parts alone", () => {
    const [, mask, sees] = RULES[0]!;
    expectSame(mask.not().not(), sees);
    let deep = mask;
    for (let i = 0; i < 20; i++) deep = i % 2 === 0 ? deep.or(RULES[i % 7]![1]) : RULES[i % 7]![1].and(deep);
    expect(attention(q, k, k, { mask: deep }).out.shape).toEqual([B, Q, H, 8]);
    expectSame(mask, sees);
  });

  it("all other options hold beside it", () => {
    const mask = BitMask.window({ left: 30 });
    const byMask = attention(q, k, k, { mask, causal: true, qOffset: 63, kvLengths: [133, 90] });
    const byWindow = attention(q, k, k, { window: { left: 30 }, causal: true, qOffset: 63, kvLengths: [133, 90] });
    expect(bitsOf(byMask.out.data)).toEqual(bitsOf(byWindow.out.data));
  });

  it("takes the call's qOffset where it has none of its own", () => {
    for (const qOffset of [7, [7, 7], "bottom-right", "top-left"] as const) {
      const byMask = attention(q, k, k, { mask: BitMask.causal(), qOffset });
      expect(bitsOf(byMask.out.data)).toEqual(bitsOf(attention(q, k, k, { causal: true, qOffset }).out.data));
    }
  });

  it("needs no engine, copies what it is given, and is read where it lies", async () => {
    const data = new Uint8Array([1, 0, 1, 1]);
    const query = [1, 2];
    const stored = BitMask.fromTensor({ data, shape: [2, 2] });
    const documents = BitMask.document({ query, key: query });
    data.fill(0);
    query.fill(5);
    expect([...stored.toTensor(2, 2).data]).toEqual([1, 0, 1, 1]);
    expect([...documents.toTensor(2, 2).data]).toEqual([1, 0, 0, 1]);
    using tensor = Tensor.from({ data: Uint8Array.of(0, 2, 0, 1), shape: [2, 2] });
    expect([...BitMask.fromTensor(tensor).toTensor(2, 2).data]).toEqual([0, 1, 0, 1]);
    const strided = { data: Uint8Array.of(9, 1, 0, 9, 0, 1), shape: [2, 2], strides: [3, 1], offset: 1 };
    expect([...BitMask.fromTensor(strided).toTensor(2, 2).data]).toEqual([1, 0, 0, 1]);
    const engine = await init();
    const before = engine.stats().liveBytes;
    attention(q, k, k, { mask: RULES[12]![1] });
    expect(engine.stats().liveBytes).toBe(before);
  });
});

describe("refusals", () => {
  const mask = BitMask.causal();
  const make = BitMask as unknown as Record<
    "causal" | "window" | "prefixLm" | "document" | "dilated" | "global" | "fromTensor",
    (options?: unknown) => unknown
  >;
  it.each([
    ["new", () => new (BitMask as unknown as new () => unknown)(), "ARGUMENT", /^BitMask: a mask is not made with new/],
    [
      "a typo",
      () => make.causal({ offset: 1 }),
      "OPTION",
      /^BitMask\.causal: there is no option "offset"; did you mean/,
    ],
    ["an offset", () => make.causal({ qOffset: 1.5 }), "RANGE", /^BitMask\.causal: qOffset is 1\.5; expected an int/],
    [
      "an offset in words",
      () => make.causal({ qOffset: "right" }),
      "OPTION",
      /qOffset is "right"; expected an integer,/,
    ],
    ["a side", () => make.window({ left: -1 }), "RANGE", /^BitMask\.window: left is -1/],
    ["no lengths", () => make.prefixLm({}), "ARGUMENT", /^BitMask\.prefixLm: lengths is undefined; expected one/],
    ["empty lengths", () => make.prefixLm({ lengths: [] }), "SHAPE", /^BitMask\.prefixLm: lengths has no entries/],
    ["no key", () => make.document({ query: [1] }), "ARGUMENT", /^BitMask\.document: key is undefined/],
    ["fractions", () => make.document({ query: [1], key: [0.5] }), "RANGE", /^BitMask\.document: key\[0\] is 0\.5/],
    [
      "uneven",
      () => make.document({ query: [[1], [1, 2]], key: [1] }),
      "SHAPE",
      /query\[1\] has 2 numbers, query\[0\] has 1/,
    ],
    ["step 0", () => make.dilated({ step: 0 }), "RANGE", /^BitMask\.dilated: step is 0; expected an integer from 1/],
    ["a negative index", () => make.global({ key: [-1] }), "RANGE", /^BitMask\.global: key\[0\] is -1/],
    [
      "a float tensor",
      () => make.fromTensor(counted(2, 2)),
      "DTYPE",
      /^BitMask\.fromTensor: tensor is float32; expected/,
    ],
    ["rank 1", () => make.fromTensor({ data: new Uint8Array(2), shape: [2] }), "SHAPE", /tensor\.shape has 1 axes/],
    ["no mask", () => mask.and({} as BitMask), "ARGUMENT", /^BitMask\.and: other is an object; expected a BitMask/],
    [
      "too many parts",
      () => {
        let deep = mask;
        for (let i = 0; i < 40; i++) deep = deep.or(mask);
      },
      "RANGE",
      /^BitMask\.or: the mask would have 65 parts \(rules and operations\); at most 64 can be combined/,
    ],
    ["a picture without offset", () => mask.toTensor(2, 3), "OPTION", /^BitMask\.toTensor: qLen 2 and kvLen 3 need/],
  ] as const)("%s", (_, call, code, message) => expectRefusal(call, code, message));

  const fits = (rule: BitMask) => () => attention(q, k, k, { mask: rule, qOffset: 0 });
  it.each([
    [
      "lengths",
      BitMask.prefixLm({ lengths: [1, 2, 3] }),
      "SHAPE",
      /mask does not fit the call: BitMask\.prefixLm: lengths is given for 3 batch rows; batch is 2/,
    ],
    [
      "numbers",
      BitMask.document({ query: [1], key: ids(KV, 1) }),
      "SHAPE",
      /BitMask\.document: query has 1 numbers; qLen is 70/,
    ],
    [
      "keys",
      BitMask.document({ query: ids(Q, 1), key: [1] }),
      "SHAPE",
      /BitMask\.document: key has 1 numbers; kvLen is 133/,
    ],
    ["rows", BitMask.global({ query: [70] }), "RANGE", /BitMask\.global: query\[0\] is 70; qLen is 70/],
    ["columns", BitMask.global({ key: [3, 133] }).not(), "RANGE", /BitMask\.global: key\[1\] is 133; kvLen is 133/],
    [
      "bits",
      BitMask.fromTensor({ data: new Uint8Array(Q), shape: [Q, 1] }),
      "SHAPE",
      /its bits are \[1, 1, 70, 1\]; kvLen is 133$/,
    ],
    [
      "heads",
      BitMask.fromTensor({ data: new Uint8Array(2 * KV), shape: [2, 1, KV] }),
      "SHAPE",
      /numHeads is 4 \(or 1\)/,
    ],
  ] as const)("%s of another size", (_, rule, code, message) => expectRefusal(fits(rule), code, message));
});

describe("offsets of the call", () => {
  it("a rule without an offset of its own follows each batch row's", () => {
    const row = (n: number, seed: number) => {
      const shape = [3, n, 2, 4];
      return { data: Float32Array.from({ length: n * 24 }, (_, i) => Math.sin(i * seed)), shape };
    };
    const [query, key, value] = [row(5, 1), row(90, 2), row(90, 3)];
    const qOffset = [85, 3, -2];
    const options = { qOffset, returnLse: true } as const;
    const pairs = [
      [{ mask: BitMask.causal() }, { causal: true }],
      [{ mask: BitMask.window({ left: 7, right: 1 }) }, { window: { left: 7, right: 1 } }],
      [
        { mask: BitMask.causal(), kvLengths: [90, 4, 80] },
        { causal: true, kvLengths: [90, 4, 80] },
      ],
    ] as const;
    for (const [ruled, plain] of pairs) {
      const [a, b] = [ruled, plain].map((one) => attention(query, key, value, { ...options, ...one }));
      expect(a!.out.data).toEqual(b!.out.data);
      expect(a!.lse.data).toEqual(b!.lse.data);
      const shapes = { query: query.shape, key: key.shape, value: value.shape };
      const [planned, expected] = [ruled, plain].map((one) => planAttention(shapes, { qOffset, ...one }));
      expect(planned!.flops).toBe(expected!.flops);
      expect(planned!.blocks).toEqual(expected!.blocks);
    }
    const bottomRight = { qOffset: "bottom-right", kvLengths: [90, 40, 6] } as const;
    const a = attention(query, key, value, { ...bottomRight, mask: BitMask.causal() });
    expect(a.out.data).toEqual(attention(query, key, value, { ...bottomRight, causal: true }).out.data);
  });
});
