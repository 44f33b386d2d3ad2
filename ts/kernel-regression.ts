/**
 * Kernel regression, the oldest attention: a query's value is the mean of the training values, weighed by how near their inputs are.
 */

import type { Asked } from "./attention-options.ts";
import type { Engine } from "./engine.ts";
import { outOfRange, shapeError } from "./errors.ts";
import { instanceFor } from "./init.ts";
import { resolveApart, resolveDestination } from "./layout/destinations.ts";
import { proveFloatTensor } from "./layout/operands.ts";
import { proveBoolean, proveWord, readOptions } from "./layout/options.ts";
import { plainOf } from "./layout/results.ts";
import { proveInteger, proveNumber } from "./layout/shape.ts";
import { type CapturedTensor, captureTensor } from "./layout/tensor-like.ts";
import { sum } from "./pooling/normalize.ts";
import { runPooling } from "./pooling/run.ts";
import { boxcar, epanechnikov, gaussian, proveScore, proveWidth, triangular } from "./pooling/score.ts";
import { resolvePooling } from "./pooling/sizes.ts";
import type { PlainTensor, TensorInput } from "./tensor.ts";
import { inSession, type Slot } from "./wasm/operator.ts";
import { afterwards, recordingOf } from "./wasm/recording.ts";

const KERNELS = ["gaussian", "boxcar", "triangular", "epanechnikov"] as const;

/** A kernel of the distance: of `x = |q - k| / width` the Gaussian is `exp(-x^2 / 2)`, the others are 0 from x = 1 on. */
export type RegressionKernel = (typeof KERNELS)[number];

/** Options of {@link nadarayaWatson}. */
export interface NadarayaWatsonOptions<Weights extends boolean = boolean> {
  /** The kernel's width, in units of the inputs, from 1e-18 to 1e18. Default 1. */
  readonly width?: number | undefined;
  /** Default `"gaussian"`. */
  readonly kernel?: RegressionKernel | undefined;
  /** Whether the weights are wanted. Default false: they are never stored as a whole then. */
  readonly returnWeights?: Weights | undefined;
  /** Where the prediction goes: float32 of its shape; it must not overlap an input. Default: a new tensor. */
  readonly out?: TensorInput | undefined;
  /** Default: the default engine. */
  readonly engine?: Engine | undefined;
}

/** What {@link nadarayaWatson} returns. */
export type NadarayaWatsonResult<Weights extends boolean = boolean> = {
  /** The prediction: `[n]`, or `[n, outputs]`. */
  readonly out: PlainTensor<"float32">;
} & Asked<Weights, "weights", PlainTensor<"float32">>;

/** Options of {@link fitWidth}. */
export interface FitWidthOptions {
  /** Where the descent begins, from 1e-18 to 1e18. Default 1. */
  readonly initialWidth?: number | undefined;
  /** The step is this times the gradient; greater than 0. Default `0.5 / m`. */
  readonly learningRate?: number | undefined;
  /** Steps of the descent, from 0 to 2^20. Default 100. */
  readonly epochs?: number | undefined;
  /** Default: the default engine. */
  readonly engine?: Engine | undefined;
}

/** One step of the descent of {@link fitWidth}. */
export interface FitStep {
  readonly epoch: number;
  /** The width before the step. */
  readonly width: number;
  /** `sum_i |f_i - y_i|^2` at that width, f_i being predicted from all samples but i. */
  readonly loss: number;
  /** Its derivative with respect to `1 / width`. */
  readonly gradient: number;
}

/** What {@link fitWidth} returns. */
export interface FittedWidth {
  /** The width after the last step. */
  readonly width: number;
  /** The loss at that width. */
  readonly loss: number;
  /** The descent, step by step. */
  readonly history: readonly FitStep[];
}

const MOST_EPOCHS = 2 ** 20;
/** Samples of which a step is worth sharing. */
const MANY_SAMPLES = 192;

/** Numbers of a step as the wasm leaves them: width, loss, gradient. */
const STEP = 3;

/**
 * Nadaraya-Watson regression: `f(x_i) = sum_j w_ij y_j`, `w_ij = K(|x_i - xTrain_j| / width) / sum_l K(|x_i - xTrain_l| / width)`.
 *
 * It is `attentionPooling` of queries x, keys xTrain and values yTrain under a kernel, with its bits. The Gaussian's weights come from
 * its exponents, so that a query far from all samples takes the nearest one's value; of the other kernels such a query gets 0.
 *
 * @param x - queries: `[n]`, or `[n, features]`
 * @param xTrain - inputs of the training samples: `[m]`, or `[m, features]`
 * @param yTrain - their values: `[m]`, or `[m, outputs]`
 * @returns `out`, the prediction `[n]` or `[n, outputs]`; with `returnWeights` also `weights` `[n, m]`: how much sample j counts for query i
 * @throws TypeError `ERR_SACCADE_ARGUMENT`, `ERR_SACCADE_DTYPE`, `ERR_SACCADE_OPTION`; RangeError `ERR_SACCADE_SHAPE`,
 *   `ERR_SACCADE_STRIDE`, `ERR_SACCADE_RANGE`, `ERR_SACCADE_OVERLAP`; SaccadeError as `attention`
 * @see Nadaraya (1964); Watson (1964)
 *
 * @example
 * ```ts
 * import { init, nadarayaWatson } from "saccade";
 *
 * await init();
 * const list = (...data: number[]) => ({ data: new Float32Array(data), shape: [data.length] });
 * const { out } = nadarayaWatson(list(1, 5), list(0, 2, 8), list(10, 20, 50), { width: 0.5 });
 * console.log(out.data); // 15, 35
 * ```
 */
export function nadarayaWatson<Weights extends boolean = false>(
  x: TensorInput,
  xTrain: TensorInput,
  yTrain: TensorInput,
  options?: NadarayaWatsonOptions<Weights>,
): NadarayaWatsonResult<Weights> {
  const caller = "nadarayaWatson";
  const captured = {
    x: captureTensor(x, caller, "x"),
    xTrain: captureTensor(xTrain, caller, "xTrain"),
    yTrain: captureTensor(yTrain, caller, "yTrain"),
  };
  const read = readOptions(options, ["width", "kernel", "returnWeights", "out", "engine"] as const, caller);
  const width = read.width === undefined ? 1 : proveWidth(read.width, caller, "options.width");
  const kernel = read.kernel === undefined ? "gaussian" : proveWord(read.kernel, KERNELS, caller, "kernel");
  const returnWeights = read.returnWeights !== undefined && proveBoolean(read.returnWeights, caller, "returnWeights");
  const target = read.out === undefined ? undefined : captureTensor(read.out, caller, "out");
  const samples = proveSamples(captured.xTrain, captured.yTrain, caller);
  const inputs = tableOf(captured.x, "n", "features", caller);
  if (captured.x.shape.length !== captured.xTrain.shape.length || inputs[1] !== samples.x[1]) {
    throw shapeError(
      caller,
      `x.shape is [${captured.x.shape.join(", ")}], xTrain.shape is [${captured.xTrain.shape.join(", ")}]; ` +
        "expected [n] and [m], or [n, features] and [m, features]",
    );
  }
  const score = proveScore({ gaussian, boxcar, triangular, epanechnikov }[kernel]({ width }), caller);
  const shapes = { query: { shape: inputs }, key: { shape: samples.x }, value: { shape: samples.y } };
  const sizes = resolvePooling(shapes, score, "bshd", caller);

  const instance = instanceFor(read.engine, caller);
  const views = {
    x: proveFloatTensor(captured.x, instance, caller),
    xTrain: proveFloatTensor(captured.xTrain, instance, caller),
    yTrain: proveFloatTensor(captured.yTrain, instance, caller),
  };
  const shape = [inputs[0], ...captured.yTrain.shape.slice(1)];
  const destination = resolveApart(target, shape, views, instance, caller);
  const rows = resolveDestination(undefined, sizes.weightsShape, "float32", instance, caller);
  return inSession(instance, caller, (session) => {
    const out = session.result(destination);
    const weights = returnWeights ? session.result(rows) : undefined;
    const slots = {
      query: session.reshape(session.input(views.x), inputs),
      key: session.reshape(session.input(views.xTrain), samples.x),
      value: session.reshape(session.input(views.yTrain), samples.y),
    };
    const everything = { lengths: { kind: 0, lengths: undefined }, maskSizes: [1, 1, 1, 1] } as const;
    runPooling(session, { score, normalize: sum(), sizes, ...everything }, slots, { out, weights });
    return {
      out: plainOf(out, read.out),
      ...(weights && { weights: plainOf(weights) }),
    } as NadarayaWatsonResult<Weights>;
  });
}

/**
 * Learns the width of a Gaussian kernel: gradient descent on `sum_i |f_i - y_i|^2`, where f_i is the {@link nadarayaWatson} prediction
 * at x_i from all samples but i (Nadaraya 1964; Watson 1964; leave one out: Stone 1974): a sample that counted itself would
 * make the smallest width the best.
 *
 * The descent is over `w = 1 / width`, by which the distance is multiplied in `exp(-(w |x_i - x_j|)^2 / 2)`: a step is
 * `w <- |w - learningRate * dloss/dw|`, the gradient is in closed form, and all of it is computed in wasm, w in float64. A rate that is
 * too large can overshoot, which the history shows: losses then rise.
 *
 * @param xTrain - inputs of the samples: `[m]`, or `[m, features]`; at least two
 * @param yTrain - their values: `[m]`, or `[m, outputs]`
 * @throws as {@link nadarayaWatson}
 *
 * @example
 * ```ts
 * import { fitWidth, init } from "saccade";
 *
 * await init();
 * const list = (...data: number[]) => ({ data: new Float32Array(data), shape: [data.length] });
 * const { width, loss, history } = fitWidth(list(0, 1, 2, 3, 4), list(0, 1, 2, 3, 4));
 * console.log(history[0].loss > loss, width < 1); // true true
 * ```
 */
export function fitWidth(xTrain: TensorInput, yTrain: TensorInput, options?: FitWidthOptions): FittedWidth {
  const caller = "fitWidth";
  const captured = { x: captureTensor(xTrain, caller, "xTrain"), y: captureTensor(yTrain, caller, "yTrain") };
  const read = readOptions(options, ["initialWidth", "learningRate", "epochs", "engine"] as const, caller);
  const { x, y } = proveSamples(captured.x, captured.y, caller);
  const count = x[0];
  if (count < 2) {
    throw shapeError(
      caller,
      `xTrain.shape[0] is ${count}; expected at least 2 samples, to predict one from the others`,
    );
  }
  const { initialWidth, learningRate, epochs: steps } = read;
  const width = initialWidth === undefined ? 1 : proveWidth(initialWidth, caller, "options.initialWidth");
  const rate = learningRate === undefined ? 0.5 / count : proveRate(learningRate, caller);
  const epochs = steps === undefined ? 100 : proveInteger(steps, 0, MOST_EPOCHS, caller, "options.epochs");

  const instance = instanceFor(read.engine, caller);
  const views = {
    x: proveFloatTensor(captured.x, instance, caller),
    y: proveFloatTensor(captured.y, instance, caller),
  };
  const destination = resolveDestination(undefined, [epochs + 1, STEP], "float32", instance, caller);
  const steep = inSession(instance, caller, (session) => {
    const out = session.result(destination);
    const inputs = [session.input(views.x), session.input(views.y)];
    const run = (step: number, ...between: readonly Slot[]): void =>
      session.run("kernelRegression", {
        ...{ integers: [count, x[1], y[1], epochs, step], floats: [width, rate], inputs },
        outputs: [out, ...between],
      });
    const shares = recordingOf(instance) !== undefined || (instance.pool !== undefined && count >= MANY_SAMPLES);
    if (!shares) run(0);
    else {
      // Threads, or slices of an asynchronous call, share the samples of a step.
      const between = [session.temporary([count, y[1], 4], "int32"), session.temporary([2], "int32")];
      for (let step = 1; step <= epochs + 1; step++) run(step, ...between);
    }
    return out.data as Float32Array;
  });
  const fitted = { width: 0, loss: 0, history: [] as FitStep[] };
  afterwards(instance, () => {
    const steps = Array.from({ length: epochs + 1 }, (_, epoch): FitStep => {
      const [width, loss, gradient] = steep.subarray(epoch * STEP) as unknown as [number, number, number];
      return { epoch, width, loss, gradient };
    });
    const { width, loss } = steps.pop()!;
    Object.assign(fitted, { width, loss, history: steps });
  });
  return fitted;
}

/** Both tensors of the samples as tables: `[m, features]` and `[m, outputs]`. */
function proveSamples(
  xTrain: CapturedTensor,
  yTrain: CapturedTensor,
  caller: string,
): { readonly x: readonly [number, number]; readonly y: readonly [number, number] } {
  const x = tableOf(xTrain, "m", "features", caller);
  const y = tableOf(yTrain, "m", "outputs", caller);
  if (x[0] !== y[0]) {
    throw shapeError(caller, `yTrain.shape[0] (m) is ${y[0]}, xTrain.shape[0] is ${x[0]}`);
  }
  return { x, y };
}

/** A list as a table of one column; a table as it is. */
function tableOf({ name, shape }: CapturedTensor, rows: string, columns: string, caller: string): [number, number] {
  if (shape.length !== 1 && shape.length !== 2) {
    throw shapeError(caller, `${name}.shape is [${shape.join(", ")}]; expected [${rows}] or [${rows}, ${columns}]`);
  }
  const [count, width = 1] = shape as [number, number?];
  if (width === 0) throw shapeError(caller, `${name}.shape[1] (${columns}) is 0; expected at least 1`);
  return [count, width];
}

function proveRate(value: unknown, caller: string): number {
  const rate = proveNumber(value, caller, "options.learningRate");
  if (rate > 0) return rate;
  const expected = "a number greater than 0";
  throw outOfRange(caller, "options.learningRate", value, expected);
}
