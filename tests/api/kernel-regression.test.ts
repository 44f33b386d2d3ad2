// Kernel regression against the recorded cases, against its formula in float64, and against attentionPooling.
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { attentionPooling, fitWidth, gaussian, init, nadarayaWatson, type RegressionKernel, Tensor } from "saccade";
import { beforeAll, describe, expect, it } from "vitest";
import { type StoredArray, tensorOf } from "../compat/arrays.ts";
import { bitsOf, expectClose } from "./oracle.ts";
import { counted, expectRefusal } from "./refusal.ts";

interface Recorded {
  inputs: { x_train: StoredArray; y_train: StoredArray; x_test: StoredArray };
  params: { initialW: number; learningRate: number; epochs: number };
  expected: {
    weights: StoredArray;
    prediction: StoredArray;
    w: number;
    history: { epoch: number; w: number; loss: number; grad: number }[];
  };
}

const recorded = (name: string): Recorded =>
  JSON.parse(readFileSync(new URL(`../data/classic/nadaraya_watson__${name}.json`, import.meta.url), "utf8"));

const list = (data: ArrayLike<number>) => ({ data: Float32Array.from(data), shape: [data.length] });

const column = ({ data }: { data: ArrayLike<number> }) => ({ data: Float32Array.from(data), shape: [data.length, 1] });

beforeAll(async () => {
  await init();
});

describe("nadarayaWatson", () => {
  const cases: [string, { width?: number; kernel?: RegressionKernel }][] = [
    ["w1", {}],
    ["kernel_gaussian", { width: 1, kernel: "gaussian" }],
    // What that case calls so is 1 - |d|.
    ["kernel_epanechnikov", { width: 1, kernel: "triangular" }],
    ["kernel_constant", { width: 1e18, kernel: "boxcar" }],
    ["learned", { width: 1 / 1.7692493755675331 }],
  ];
  it.each(cases)("gives the recorded prediction and weights: %s", (name, options) => {
    const { inputs, expected } = recorded(name);
    const [x, xTrain, yTrain] = [inputs.x_test, inputs.x_train, inputs.y_train].map(tensorOf) as [never, never, never];
    const { out, weights } = nadarayaWatson(x, xTrain, yTrain, { ...options, returnWeights: true });
    expect(out.shape).toEqual(expected.prediction.shape);
    expect(weights?.shape).toEqual(expected.weights.shape);
    expectClose(out.data, tensorOf(expected.prediction).data as Float32Array);
    expectClose(weights!.data, tensorOf(expected.weights).data as Float32Array);
  });

  it("is attentionPooling, bit for bit", () => {
    const { inputs } = recorded("w1");
    const [x, xTrain, yTrain] = [inputs.x_test, inputs.x_train, inputs.y_train].map(tensorOf) as [never, never, never];
    const pooled = attentionPooling(column(x), column(xTrain), column(yTrain), { score: gaussian({ width: 0.3 }) });
    expect(bitsOf(nadarayaWatson(x, xTrain, yTrain, { width: 0.3 }).out.data)).toEqual(bitsOf(pooled.out.data));
  });

  /** The weights of a query, in float64. */
  function weigh(
    x: readonly number[],
    xTrain: readonly (readonly number[])[],
    width: number,
    kernel: RegressionKernel,
  ) {
    const distances = xTrain.map((sample) => Math.hypot(...sample.map((a, d) => a - x[d]!)) / width);
    const nearest = Math.min(...distances);
    const K = {
      gaussian: (d: number) => Math.exp((nearest ** 2 - d ** 2) / 2),
      boxcar: (d: number) => (d < 1 ? 1 : 0),
      triangular: (d: number) => Math.max(1 - d, 0),
      epanechnikov: (d: number) => Math.max(1 - d * d, 0),
    }[kernel];
    const weights = distances.map(K);
    const sum = weights.reduce((a, b) => a + b, 0);
    return weights.map((w) => (sum === 0 ? 0 : w / sum));
  }

  it("is its formula, for any sizes and kernel", () => {
    // Multiples of a quarter, of which distances are exact: none lies on the wrong side of an edge.
    const number = fc.integer({ min: -40, max: 40 }).map((n) => n / 4);
    const sizes = fc.record({
      n: fc.integer({ min: 0, max: 9 }),
      m: fc.constantFrom(0, 1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65),
      features: fc.integer({ min: 1, max: 3 }),
      outputs: fc.integer({ min: 1, max: 5 }),
    });
    const problem = sizes.chain(({ n, m, features, outputs }) =>
      fc.record({
        x: fc.array(fc.array(number, { minLength: features, maxLength: features }), { minLength: n, maxLength: n }),
        xTrain: fc.array(fc.array(number, { minLength: features, maxLength: features }), {
          minLength: m,
          maxLength: m,
        }),
        yTrain: fc.array(fc.array(number, { minLength: outputs, maxLength: outputs }), { minLength: m, maxLength: m }),
        outputs: fc.constant(outputs),
        features: fc.constant(features),
        width: fc.constantFrom(0.3, 1.1, 7.7),
        kernel: fc.constantFrom<RegressionKernel>("gaussian", "boxcar", "triangular", "epanechnikov"),
      }),
    );
    const table = (rows: readonly (readonly number[])[], columns: number) => ({
      data: Float32Array.from(rows.flat()),
      shape: [rows.length, columns],
    });
    fc.assert(
      fc.property(problem, ({ x, xTrain, yTrain, features, outputs, width, kernel }) => {
        const tables = [table(x, features), table(xTrain, features), table(yTrain, outputs)] as const;
        const { out, weights } = nadarayaWatson(...tables, { width, kernel, returnWeights: true });
        const expected = x.map((query) => weigh(query, xTrain, width, kernel));
        expectClose(weights!.data, expected.flat(), 2e-5);
        const predictions = expected.map((row) =>
          Array.from({ length: outputs }, (_, k) => row.reduce((sum, w, j) => sum + w * yTrain[j]![k]!, 0)),
        );
        expectClose(out.data, predictions.flat(), 2e-4);
        expect(out.shape).toEqual([x.length, outputs]);
      }),
      { numRuns: 150, seed: 21 },
    );
  });

  it("has a value far from all samples, from the Gaussian alone", () => {
    const [far, xTrain, yTrain] = [list([1e4]), list([0, 1, 2]), list([5, 6, 7])];
    expect([...nadarayaWatson(far, xTrain, yTrain).out.data]).toEqual([7]);
    expect([...nadarayaWatson(far, xTrain, yTrain, { kernel: "triangular" }).out.data]).toEqual([0]);
    expect([...nadarayaWatson(far, list([]), list([])).out.data]).toEqual([0]);
  });

  it("takes half floats and resident tensors, and writes where it is told", () => {
    const { inputs } = recorded("w1");
    const [x, xTrain, yTrain] = [inputs.x_test, inputs.x_train, inputs.y_train].map(tensorOf) as [never, never, never];
    const expected = nadarayaWatson(x, xTrain, yTrain).out;
    using resident = Tensor.from(xTrain);
    const out = { data: new Float32Array(50), shape: [50] };
    expect(nadarayaWatson(x, resident, yTrain, { out }).out).toBe(out);
    expect(bitsOf(out.data)).toEqual(bitsOf(expected.data));
    const halves = { data: Uint16Array.of(0x3f80, 0x4000), shape: [2], dtype: "bfloat16" } as const;
    expect([...nadarayaWatson(halves, halves, halves, { kernel: "boxcar" }).out.data]).toEqual([1, 2]);
  });

  it("refuses what does not fit", async () => {
    const [x, t, y] = [counted(3), counted(5), counted(5)];
    await expectRefusal(
      () => nadarayaWatson(x, t, counted(4)),
      "SHAPE",
      "nadarayaWatson: yTrain.shape[0] (m) is 4, xTrain.shape[0] is 5",
    );
    await expectRefusal(
      () => nadarayaWatson(counted(3, 2), t, y),
      "SHAPE",
      /^nadarayaWatson: x\.shape is \[3, 2\], xTrain\.shape is \[5\]/,
    );
    await expectRefusal(() => nadarayaWatson(counted(3, 2), counted(5, 3), y), "SHAPE", /expected \[n\] and \[m\], or/);
    await expectRefusal(
      () => nadarayaWatson(counted(3, 1, 1), t, y),
      "SHAPE",
      /x\.shape is \[3, 1, 1\]; expected \[n\] or/,
    );
    await expectRefusal(() => nadarayaWatson(counted(3, 0), counted(5, 0), y), "SHAPE", /features\) is 0/);
    for (const width of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e-19]) {
      await expectRefusal(() => nadarayaWatson(x, t, y, { width }), "RANGE", /^nadarayaWatson: options\.width is /);
    }
    await expectRefusal(() => nadarayaWatson(x, t, y, { width: "1" as never }), "ARGUMENT", /options\.width is "1"/);
    await expectRefusal(
      () => nadarayaWatson(x, t, y, { kernel: "box" as never }),
      "OPTION",
      /options\.kernel is "box"/,
    );
    await expectRefusal(() => nadarayaWatson(x, t, y, { widht: 1 } as never), "OPTION", /did you mean "width"/);
    await expectRefusal(() => nadarayaWatson(x, t, y, { out: x }), "OVERLAP", /out shares memory with x/);
    const whole = { data: new Int32Array(5), shape: [5] };
    await expectRefusal(() => nadarayaWatson(x, t, whole), "DTYPE", /yTrain is int32/);
  });
});

describe("fitWidth", () => {
  it("descends as recorded", () => {
    const { inputs, params, expected } = recorded("learned");
    const [x, y] = [tensorOf(inputs.x_train), tensorOf(inputs.y_train)];
    const { initialW, learningRate, epochs } = params;
    const { width, history } = fitWidth(x, y, { initialWidth: 1 / initialW, learningRate, epochs });
    expect(history.map(({ epoch }) => epoch)).toEqual(expected.history.map(({ epoch }) => epoch));
    const near = (actual: number, wanted: number) => expect(Math.abs(actual / wanted - 1)).toBeLessThan(1.2e-7);
    expected.history.forEach(({ w, loss, grad }, i) => {
      near(history[i]!.width, 1 / w);
      near(history[i]!.loss, loss);
      near(history[i]!.gradient, grad);
    });
    near(width, 1 / expected.w);
    // The default rate is the recorded one: half over the number of samples.
    expect(fitWidth(x, y, { epochs })).toEqual(fitWidth(x, y, { learningRate, epochs }));
  });

  it("has the loss of leaving one out", () => {
    const { inputs } = recorded("learned");
    const [x, y] = [inputs.x_train, inputs.y_train].map((each) => [...(tensorOf(each).data as Float32Array)]) as [
      number[],
      number[],
    ];
    for (const width of [0.2, 0.7, 3]) {
      const { loss, history } = fitWidth(list(x), list(y), { initialWidth: width, epochs: 0 });
      const errors = x.map((query, i) => {
        const others = (values: number[]) => list(values.filter((_, j) => j !== i));
        const { out } = nadarayaWatson(list([query]), others(x), others(y), { width });
        return (out.data[0]! - y[i]!) ** 2;
      });
      const expected = errors.reduce((a, b) => a + b, 0);
      expect(Math.abs(loss / expected - 1)).toBeLessThan(1e-6);
      expect(history).toEqual([]);
    }
  });

  it("finds the width of least loss", () => {
    const { inputs } = recorded("learned");
    const [x, y] = [tensorOf(inputs.x_train), tensorOf(inputs.y_train)];
    const { width, loss, history } = fitWidth(x, y, { learningRate: 0.01, epochs: 1000 });
    expect(loss).toBeLessThan(history[0]!.loss / 1.5);
    for (const factor of [0.9, 1.1]) {
      expect(fitWidth(x, y, { initialWidth: width * factor, epochs: 0 }).loss).toBeGreaterThan(loss);
    }
  });

  it("sums over outputs, and takes tables as lists", () => {
    const [x, y] = [counted(9), counted(9)];
    const twice = { data: Float32Array.from([...y.data].flatMap((each) => [each, each])), shape: [9, 2] };
    const once = fitWidth(x, y, { epochs: 0 });
    expect(fitWidth(x, twice, { epochs: 0 }).loss).toBe(Math.fround(2 * once.loss));
    expect(fitWidth({ ...x, shape: [9, 1] }, { ...y, shape: [9, 1] }, { epochs: 0 })).toEqual(once);
  });

  it("refuses what makes no sense", async () => {
    const [x, y] = [counted(5), counted(5)];
    await expectRefusal(
      () => fitWidth(counted(1), counted(1)),
      "SHAPE",
      /xTrain\.shape\[0\] is 1; expected at least 2 samples/,
    );
    await expectRefusal(
      () => fitWidth(x, counted(6)),
      "SHAPE",
      "fitWidth: yTrain.shape[0] (m) is 6, xTrain.shape[0] is 5",
    );
    await expectRefusal(() => fitWidth(x, y, { initialWidth: 0 }), "RANGE", /options\.initialWidth is 0/);
    await expectRefusal(() => fitWidth(x, y, { learningRate: 0 }), "RANGE", /options\.learningRate is 0/);
    await expectRefusal(() => fitWidth(x, y, { learningRate: Number.NaN }), "RANGE", /options\.learningRate is NaN/);
    await expectRefusal(() => fitWidth(x, y, { epochs: 1.5 }), "RANGE", /options\.epochs is 1\.5/);
    await expectRefusal(() => fitWidth(x, y, { epochs: -1 }), "RANGE", /options\.epochs is -1/);
    await expectRefusal(() => fitWidth(x, y, { rate: 1 } as never), "OPTION", /there is no option "rate"/);
  });
});
