/**
 * Feature maps `[batch, channels, height, width]`, proved.
 */

import { type FeatureCall, proveShapeOf, wrongShape } from "../layout/feature-call.ts";
import type { FloatView } from "../layout/operands.ts";

/** The name under which messages speak of a map. */
export const INPUT = "x";

/** Sizes of a map. */
export interface FeatureMap {
  readonly batch: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly places: number;
}

/** Proves that the input is a map. */
export function proveMap({ caller, x }: FeatureCall<string, string, string>): FeatureMap {
  if (x.shape.length !== 4) throw wrongShape(caller, INPUT, x.shape, "[batch, channels, height, width]");
  const [batch, channels, height, width] = x.shape as [number, number, number, number];
  if (channels === 0) throw wrongShape(caller, INPUT, x.shape, "at least one channel");
  return { batch, channels, height, width, places: height * width };
}

/** Proves a convolution's weight `[out, in, height, width]` of odd height and width; the kernel's sizes. */
export function proveKernel(
  caller: string,
  name: string,
  { shape }: FloatView,
  outer: number,
  inner: number,
): readonly [number, number] {
  const [o, i, height = 0, width = 0] = shape;
  if (shape.length !== 4 || o !== outer || i !== inner || height % 2 !== 1 || width % 2 !== 1) {
    throw wrongShape(caller, name, shape, `[${outer}, ${inner}, height, width] with odd height and width`);
  }
  return [height, width];
}

/** Proves the two layers of a bottleneck over channels: its hidden size. */
export function proveBottleneck(
  caller: string,
  channels: number,
  { w1, b1, w2, b2 }: { w1: FloatView; b1?: FloatView; w2: FloatView; b2?: FloatView },
): number {
  const hidden = w1.shape[0] ?? 0;
  if (w1.shape.length !== 2 || w1.shape[1] !== channels || hidden === 0) {
    throw wrongShape(caller, "w1", w1.shape, `[hidden, ${channels}] (hidden, channels) with at least one hidden unit`);
  }
  proveShapeOf(caller, "b1", b1, [[hidden]], "hidden");
  proveShapeOf(caller, "w2", w2, [[channels, hidden]], "channels, hidden");
  proveShapeOf(caller, "b2", b2, [[channels]], "channels");
  return hidden;
}
