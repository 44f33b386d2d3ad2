/** Softmax and log-sum-exp along any axis: recorded cases of PyTorch and ONNX, a definition in f64, laws and refusals. */
import fc from "fast-check";
import { init, logSumExp, maskedSoftmax, type SoftmaxOptions, Tensor } from "saccade";
import { beforeAll, describe, expect, it } from "vitest";
import { margin, numbersOf, type StoredArray, tensorOf } from "../compat/arrays.ts";
import { caseFiles, readCase } from "../compat/files.ts";
import { bitsOf, expectClose } from "./oracle.ts";
import { counted, expectRefusal } from "./refusal.ts";

beforeAll(() => init());

interface ClassicCase {
  inputs: { x: StoredArray; valid_lens: StoredArray };
  expected: { output: StoredArray };
}

interface OnnxCase {
  op: "Softmax" | "LogSoftmax";
  attributes: { axis?: number };
  rtol: number;
  atol: number;
  inputs: StoredArray[];
  outputs: StoredArray[];
}

describe("recorded cases", () => {
  it.each(caseFiles("classic", "masked_softmax__"))("PyTorch: %s", (file) => {
    const { inputs, expected } = readCase<ClassicCase>(`classic/${file}`);
    const lengths = tensorOf(inputs.valid_lens);
    const { data, shape } = maskedSoftmax(tensorOf(inputs.x), { lengths });
    expect(shape).toEqual(expected.output.shape);
    expectClose(data, numbersOf(tensorOf(expected.output)), 3e-7);
    // The same lengths as plain lists.
    const flat = [...(lengths.data as Int32Array)];
    const [rows, width] = lengths.shape as [number, number | undefined];
    const lists =
      width === undefined ? flat : Array.from({ length: rows }, (_, r) => flat.slice(r * width, (r + 1) * width));
    expect(bitsOf(maskedSoftmax(tensorOf(inputs.x), { lengths: lists }).data)).toEqual(bitsOf(data));
  });

  const files = [...caseFiles("onnx", "test_softmax_"), ...caseFiles("onnx", "test_logsoftmax_")];
  it("are eleven of ONNX", () => {
    expect(files.length).toBe(11);
  });
  it.each(files)("ONNX: %s", (file) => {
    const { op, attributes, rtol, atol, inputs, outputs } = readCase<OnnxCase>(`onnx/${file}`);
    const { data } = maskedSoftmax(tensorOf(inputs[0]!), { ...attributes, log: op === "LogSoftmax" });
    const largest = margin([...data], numbersOf(tensorOf(outputs[0]!)), { absolute: atol, relative: rtol });
    // A score of 10000 is rounded to 2^-10 in base 2.
    expect(largest).toBeLessThan(file.includes("large_number") ? 0.3 : 0.01);
  });
});

/** Each row of a call as a list of indices into x. */
function rowsOf(shape: readonly number[], axis: number): number[][] {
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const outer = shape.slice(0, axis).reduce((a, b) => a * b, 1);
  const n = shape[axis]!;
  return Array.from({ length: outer * inner }, (_, row) =>
    Array.from({ length: n }, (_, k) => (Math.floor(row / inner) * n + k) * inner + (row % inner)),
  );
}

const problem = fc
  .record({
    shape: fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 4 }),
    wide: fc.constantFrom(1, 3, 5, 63, 64, 65, 130),
    pick: fc.nat(),
    seed: fc.nat(1000),
    temperature: fc.constantFrom(1, 0.25, 3),
    broadcast: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
    drop: fc.nat(3),
  })
  .map(({ shape, wide, pick, ...rest }) => {
    const axis = pick % shape.length;
    return { shape: shape.with(axis, shape[axis] === 0 ? 0 : wide), axis, ...rest };
  });

describe("any shape", () => {
  it("is the definition, with a mask that broadcasts and lengths", () => {
    fc.assert(
      fc.property(problem, ({ shape, axis, seed, temperature, broadcast, drop }) => {
        const elements = shape.reduce((a, b) => a * b, 1);
        const x = Float32Array.from({ length: elements }, (_, i) => Math.sin(i * 7.3 + seed) * 8);
        const maskShape = shape.map((size, a) => (broadcast[a] ? size : 1)).slice(drop % shape.length);
        const maskSize = maskShape.reduce((a, b) => a * b, 1);
        const mask = Uint8Array.from({ length: maskSize }, (_, i) => Number(Math.sin(i * 3.1 + seed) > -0.4));
        const rows = rowsOf(shape, axis);
        const lengths = Int32Array.from(rows, (_, i) => (i * 5 + seed) % (shape[axis]! + 1));
        const rowShape = shape.filter((_, a) => a !== axis);
        const missing = shape.length - maskShape.length;
        const sees = (index: number): boolean => {
          let [at, step, rest] = [0, 1, index];
          for (let a = shape.length - 1; a >= 0; a--) {
            const coordinate = rest % shape[a]!;
            rest = Math.floor(rest / shape[a]!);
            if (a < missing) continue;
            at += (maskShape[a - missing] === 1 ? 0 : coordinate) * step;
            step *= maskShape[a - missing]!;
          }
          return mask[at] !== 0;
        };
        const poisoned = x.slice();
        const expected = {
          weights: new Array(elements).fill(0),
          logs: new Array(elements).fill(-Infinity),
          sums: [] as number[],
        };
        rows.forEach((row, r) => {
          const visible = row.filter((index, k) => k < lengths[r]! && sees(index));
          for (const index of row) if (!visible.includes(index)) poisoned[index] = [NaN, Infinity, 3e38][index % 3]!;
          const scores = visible.map((index) => x[index]! / temperature);
          const most = Math.max(...scores);
          const sum = scores.reduce((total, score) => total + Math.exp(score - most), 0);
          visible.forEach((index, j) => {
            expected.weights[index] = Math.exp(scores[j]! - most) / sum;
            expected.logs[index] = scores[j]! - most - Math.log(sum);
          });
          const natural = visible.map((index) => x[index]!);
          expected.sums.push(
            natural.length === 0
              ? -Infinity
              : Math.max(...natural) +
                  Math.log(natural.reduce((total, s) => total + Math.exp(s - Math.max(...natural)), 0)),
          );
        });
        // Lengths of all rows: as a list where rows have one axis, else as a tensor of their shape.
        const given =
          rowShape.length === 1 ? lengths : { data: lengths, shape: rowShape.length === 0 ? [1] : rowShape };
        const tensor = { data: poisoned, shape };
        const visible = {
          axis: axis - (seed % 2) * shape.length,
          lengths: given,
          mask: { data: mask, shape: maskShape },
        };
        const weights = maskedSoftmax(tensor, { ...visible, temperature });
        expect(weights.shape).toEqual(shape);
        expectClose(weights.data, expected.weights, 4e-6);
        expectClose(maskedSoftmax(tensor, { ...visible, temperature, log: true }).data, expected.logs, 4e-6);
        const sums = logSumExp(tensor, { ...visible, keepDims: true });
        expect(sums.shape).toEqual(shape.with(axis, 1));
        expectClose(sums.data, expected.sums, 4e-6);
        expect(logSumExp(tensor, visible).shape).toEqual(rowShape);
      }),
      { numRuns: 150 },
    );
  });

  it("takes halves, strides and tensors, and writes where it is told", () => {
    const x = counted(3, 70);
    const plain = maskedSoftmax(x).data;
    // Small multiples of 1/8 are exact in bfloat16.
    const halves = {
      data: new Uint16Array(new Uint32Array(x.data.buffer).map((bits) => bits >>> 16)),
      shape: [3, 70],
      dtype: "bfloat16",
    } as const;
    expect(bitsOf(maskedSoftmax(halves).data)).toEqual(bitsOf(plain));
    const wide = new Float32Array(3 * 100).fill(Number.NaN);
    for (let r = 0; r < 3; r++) wide.set(x.data.subarray(r * 70, (r + 1) * 70), r * 100 + 7);
    const strided = { data: wide, shape: [3, 70], strides: [100, 1], offset: 7 };
    expect(bitsOf(maskedSoftmax(strided).data)).toEqual(bitsOf(plain));
    const held = Tensor.from(x);
    const out = Tensor.empty([3, 70]);
    expect(maskedSoftmax(held, { out })).toBe(out);
    expect(bitsOf(out.toPlain().data)).toEqual(bitsOf(plain));
    const target = { data: new Float32Array(300).fill(5), shape: [3, 70], strides: [100, 1], offset: 7 };
    expect(maskedSoftmax(held, { out: target })).toBe(target);
    expect(bitsOf(target.data.slice(107, 177))).toEqual(bitsOf(plain.slice(70, 140)));
    expect([target.data[6], target.data[77]]).toEqual([5, 5]);
    const mask = Tensor.from({ data: new Uint8Array(70).fill(1), shape: [70], dtype: "bool" });
    expect(
      bitsOf(maskedSoftmax(held, { mask, lengths: Tensor.from({ data: Int32Array.of(70, 70, 70), shape: [3] }) }).data),
    ).toEqual(bitsOf(plain));
    for (const tensor of [held, out, mask]) tensor.dispose();
  });
});

describe("refusals", () => {
  const x = counted(3, 4, 6);
  const refused = (options: unknown, code: string, message: string | RegExp): Promise<void> =>
    expectRefusal(() => maskedSoftmax(x, options as SoftmaxOptions), code, message);

  it("names what is wrong", async () => {
    await refused({ axis: 3 }, "RANGE", "maskedSoftmax: options.axis is 3; expected an integer from -3 to 2");
    await refused({ length: [1] }, "OPTION", /there is no option "length"; did you mean "lengths"/);
    await refused({ temperature: 0 }, "RANGE", /options.temperature is 0; expected a number above 0/);
    await refused({ temperature: 1e60 }, "RANGE", /options.temperature is 1e\+60/);
    await refused({ log: 1 }, "ARGUMENT", /options.log is 1/);
    await refused({ lengths: [1, 2] }, "SHAPE", "maskedSoftmax: options.lengths has shape [2]; expected [3] or [3, 4]");
    await refused(
      { lengths: [1, 2, 7] },
      "RANGE",
      "maskedSoftmax: options.lengths[2] is 7; expected at most x.shape[2], which is 6",
    );
    await refused({ lengths: [1, -2, 0] }, "RANGE", /options.lengths\[1\] is -2/);
    await refused(
      { lengths: [[1, 2], [3]] },
      "SHAPE",
      "maskedSoftmax: options.lengths[1] has 1 entries, options.lengths[0] has 2",
    );
    await refused({ lengths: counted(3) }, "DTYPE", /options.lengths is .*float32.*; expected int32/);
    await refused({ mask: counted(6) }, "DTYPE", /mask is float32; expected bool or uint8/);
    const mask = (...shape: number[]) => ({ data: new Uint8Array(shape.reduce((a, b) => a * b, 1)), shape });
    await refused(
      { mask: mask(3, 6) },
      "SHAPE",
      /mask.shape \[3, 6\] does not broadcast to x.shape \[3, 4, 6\]: mask.shape\[0\] is 3; expected 4 or 1/,
    );
    await refused({ mask: mask(1, 3, 4, 6) }, "SHAPE", /it has more axes/);
    await refused({ out: x }, "OVERLAP", /out shares memory with x/);
    await refused({ out: counted(3, 4) }, "SHAPE", /out.shape is \[3, 4\]; expected \[3, 4, 6\]/);
    await expectRefusal(() => maskedSoftmax({ data: new Float32Array(1), shape: [] }), "SHAPE", /x.shape is \[\]/);
    await expectRefusal(() => logSumExp(x, { temperature: 1 } as never), "OPTION", /there is no option "temperature"/);
    await expectRefusal(() => maskedSoftmax({ data: new Int32Array(2), shape: [2] }), "DTYPE", /x is int32/);
  });
});
