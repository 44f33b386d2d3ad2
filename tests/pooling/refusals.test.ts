// What attention pooling and its scores refuse: class, code and message, and that nothing is lost by it.
import {
  additive,
  attentionPooling,
  concat,
  cosine,
  dot,
  epanechnikov,
  gaussian,
  general,
  location,
  mlp,
  Tensor,
  topK,
} from "saccade";
import { describe, expect, it } from "vitest";
import { counted, expectRefusal } from "../api/refusal.ts";

type Case = readonly [what: string, call: () => unknown, code: string, message: string | RegExp];
const refuses = (cases: readonly Case[]): void => {
  it.each(cases)("%s", (_, call, code, message) => expectRefusal(call, code, message));
};
// biome-ignore lint/suspicious/noExplicitAny: what JavaScript callers can do
const any = (value: unknown): any => value;
const bad = { data: new Float32Array([1, Number.NaN]), shape: [1, 2] };

describe("scores", () => {
  refuses([
    ["no width", () => boxcarless(), "ARGUMENT", "epanechnikov: options.width is undefined; expected a finite number"],
    ["width 0", () => gaussian({ width: 0 }), "RANGE", /^gaussian: options\.width is 0; expected a number above 0/],
    ["width below 0", () => gaussian({ width: -1 }), "RANGE", /width is -1/],
    ["width NaN", () => gaussian({ width: Number.NaN }), "RANGE", /width is NaN; expected a finite number/],
    [
      "a typo",
      () => gaussian(any({ widht: 1 })),
      "OPTION",
      /gaussian: there is no option "widht"; did you mean "width"/,
    ],
    ["scale", () => cosine({ scale: Number.POSITIVE_INFINITY }), "RANGE", /cosine: options\.scale is Infinity/],
    ["NaN in w", () => general({ w: bad }), "RANGE", /^general: options\.w\.data has NaN or Infinity at element 1/],
    ["no w", () => general(any({})), "ARGUMENT", /^general: options\.w is undefined/],
    [
      "rank of w",
      () => general({ w: counted(3) }),
      "SHAPE",
      /options\.w\.shape is \[3\]; expected \[queryDim, keyDim\]/,
    ],
    ["integers", () => general({ w: { data: new Int32Array(4), shape: [2, 2] } }), "DTYPE", /options\.w is int32/],
    [
      "wq and v",
      () => additive({ wq: counted(4, 3), v: counted(5) }),
      "SHAPE",
      "additive: options.wq.shape[0] is 4; expected [5, queryDim], as v is [5]",
    ],
    [
      "bias",
      () => concat({ w: counted(5, 3), v: counted(5), bias: counted(4) }),
      "SHAPE",
      /options\.bias\.shape\[0\] is 4/,
    ],
    ["no layers", () => mlp({ layers: [] }), "SHAPE", /options\.layers is empty/],
    [
      "outputs",
      () => mlp({ layers: [{ w: counted(2, 4) }] }),
      "SHAPE",
      /layers\[0\]\.w\.shape\[0\] is 2; expected \[1,/,
    ],
    [
      "layers that do not fit",
      () => mlp({ layers: [{ w: counted(3, 4) }, { w: counted(1, 5) }] }),
      "SHAPE",
      "mlp: layers[1].w.shape[1] is 5; expected [1, 3]",
    ],
    [
      "activation",
      () => mlp(any({ layers: [{ w: counted(1, 4) }], activation: "gelu" })),
      "OPTION",
      /activation is "gelu"/,
    ],
  ]);
  const boxcarless = (): unknown => epanechnikov(any({}));

  it("are frozen, and copy their weights", () => {
    const w = counted(3, 4);
    const score = general({ w });
    expect(Object.isFrozen(score)).toBe(true);
    const call = () => attentionPooling(counted(2, 3), counted(5, 4), counted(5, 2), { score }).out.data;
    const before = call();
    w.data.fill(9);
    expect(call()).toEqual(before);
  });
});

describe("calls", () => {
  const [q, k, v] = [counted(2, 3, 4), counted(2, 5, 4), counted(2, 5, 6)];
  const pool = (options: unknown, query: unknown = q, key: unknown = k, value: unknown = v) =>
    attentionPooling(any(query), any(key), any(value), any(options));
  const score = dot();
  refuses([
    [
      "no score",
      () => pool({}),
      "ARGUMENT",
      /^attentionPooling: options\.score is undefined; expected a score such as/,
    ],
    ["a forged score", () => pool({ score: { kind: "dot" } }), "ARGUMENT", /options\.score is an object/],
    ["a typo", () => pool({ score, kvLength: [1, 2] }), "OPTION", /no option "kvLength"; did you mean "kvLengths"/],
    ["rank", () => pool({ score }, counted(3)), "SHAPE", /query\.shape has 1 axes/],
    ["other rank", () => pool({ score }, counted(3, 4)), "SHAPE", /key\.shape has 3 axes; expected 2/],
    [
      "batch",
      () => pool({ score }, counted(3, 3, 4)),
      "SHAPE",
      "attentionPooling: key.shape[0] (batch) is 2, query.shape[0] is 3",
    ],
    [
      "kvLen",
      () => pool({ score }, q, k, counted(2, 4, 6)),
      "SHAPE",
      /value\.shape\[1\] \(kvLen\) is 4, key\.shape\[1\] is 5/,
    ],
    ["dims", () => pool({ score }, q, counted(2, 5, 3)), "SHAPE", /key\.shape\[2\] \(keyDim\) is 3; expected 4/],
    [
      "heads",
      () => pool({ score }, counted(1, 2, 3, 4), counted(1, 5, 2, 4), counted(1, 5, 2, 4)),
      "SHAPE",
      /query\.shape\[2\] \(numHeads\) is 3; expected a multiple of key\.shape\[2\], which is 2/,
    ],
    [
      "general",
      () => pool({ score: general({ w: counted(3, 4) }) }),
      "SHAPE",
      /query\.shape\[2\] \(queryDim\) is 4; expected 3/,
    ],
    ["additive", () => pool({ score: additive({ v: counted(3) }) }), "SHAPE", /as v of additive, which has no wq/],
    ["concat", () => pool({ score: concat({ w: counted(2, 7), v: counted(2) }) }), "SHAPE", /is 4 \+ 4; expected 7/],
    [
      "location",
      () => pool({ score: location({ w: counted(4, 4) }) }),
      "SHAPE",
      /\(positions\) is 4; expected at least kvLen/,
    ],
    [
      "lengths",
      () => pool({ score, kvLengths: [1] }),
      "SHAPE",
      /kvLengths has shape \[1\]; expected \[2\] or \[2, 3\] \(\[batch\] or \[batch, qLen\]\)/,
    ],
    [
      "a length",
      () => pool({ score, kvLengths: [1, 6] }),
      "RANGE",
      /kvLengths\[1\] is 6; expected at most kvLen, which is 5/,
    ],
    [
      "lengths per query",
      () =>
        pool({
          score,
          kvLengths: [
            [1, 2, 3],
            [1, 2],
          ],
        }),
      "SHAPE",
      /kvLengths\[1\] has 2 entries/,
    ],
    [
      "a length per query",
      () =>
        pool({
          score,
          kvLengths: [
            [1, 2, 3],
            [1, 7, 3],
          ],
        }),
      "RANGE",
      "attentionPooling: options.kvLengths[1][1] is 7; expected at most kvLen, which is 5",
    ],
    [
      "a tensor of lengths",
      () => pool({ score, kvLengths: { data: new Int32Array(4), shape: [2, 2] } }),
      "SHAPE",
      /kvLengths has shape \[2, 2\]; expected \[2\] or \[2, 3\]/,
    ],
    ["a mask of numbers", () => pool({ score, mask: counted(5) }), "DTYPE", /mask is float32; expected bool or uint8/],
    [
      "a mask's shape",
      () => pool({ score, mask: { data: new Uint8Array(4), shape: [4] } }),
      "SHAPE",
      /broadcasts to \[2, 3, 5\]/,
    ],
    ["more keys than there are", () => pool({ score, normalize: topK(6) }), "RANGE", /topK\(6\)/],
    [
      "out's shape",
      () => pool({ score, out: counted(2, 3, 4) }),
      "SHAPE",
      /out\.shape is \[2, 3, 4\]; expected \[2, 3, 6\]/,
    ],
    [
      "out over value",
      () => pool({ score, out: { data: v.data.subarray(0, 36), shape: [2, 3, 6] } }),
      "OVERLAP",
      /shares memory with value/,
    ],
  ]);

  it("of no size give what there is", () => {
    const empty = attentionPooling(counted(2, 0, 4), k, v, { score, returnWeights: true });
    expect([empty.out.shape, empty.weights.shape]).toEqual([
      [2, 0, 6],
      [2, 0, 5],
    ]);
    const blind = attentionPooling(q, counted(2, 0, 4), counted(2, 0, 6), { score: gaussian() });
    expect([...blind.out.data].every((x) => Object.is(x, 0))).toBe(true);
  });

  it("take lengths in every form", () => {
    const rows = [
      [1, 2, 3],
      [4, 5, 0],
    ];
    const want = pool({ score, kvLengths: rows }).out.data;
    const tensor = { data: Int32Array.from(rows.flat()), shape: [2, 3] };
    expect(pool({ score, kvLengths: tensor }).out.data).toEqual(want);
    const resident = Tensor.from(tensor);
    expect(pool({ score, kvLengths: resident }).out.data).toEqual(want);
    resident.dispose();
    expect(pool({ score, kvLengths: { length: 2, 0: rows[0], 1: rows[1] } }).out.data).toEqual(want);
    expect(pool({ score, kvLengths: { data: Int32Array.of(3, 4), shape: [2] } }).out.data).toEqual(
      pool({ score, kvLengths: [3, 4] }).out.data,
    );
  });
});
