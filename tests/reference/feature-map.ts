/** Attention over feature maps as definitions, in f64: maps are `[batch, channels, height, width]`. */

export interface Floats {
  data: ArrayLike<number>;
  shape: readonly number[];
}

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

export const softmax = (scores: readonly number[], temperature = 1): number[] => {
  const most = Math.max(...scores);
  const powers = scores.map((score) => Math.exp((score - most) / temperature));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((p) => p / sum);
};

/** `[batch][channel][place]`. */
export function planes({ data, shape }: Floats): number[][][] {
  const [batch, channels, height, width] = shape as [number, number, number, number];
  const places = height * width;
  return Array.from({ length: batch }, (_, b) =>
    Array.from({ length: channels }, (_, c) =>
      Array.from({ length: places }, (_, p) => data[(b * channels + c) * places + p]!),
    ),
  );
}

export const average = (x: readonly number[]): number => (x.length === 0 ? 0 : x.reduce((a, b) => a + b, 0) / x.length);
export const maximum = (x: readonly number[]): number => (x.length === 0 ? 0 : Math.max(...x));

/** `w x + b` for w `[out, in]`. */
export function layer(w: Floats, x: readonly number[], b?: Floats): number[] {
  const [outer, inner] = w.shape as [number, number];
  return Array.from({ length: outer }, (_, o) =>
    x.reduce((sum, value, i) => sum + w.data[o * inner + i]! * value, b?.data[o] ?? 0),
  );
}

/** One output channel `o` of a convolution of planes `[in][place]` by a kernel `[out, in, rows, columns]`. */
export function convolve(
  maps: readonly (readonly number[])[],
  [height, width]: readonly [number, number],
  kernel: Floats,
  o: number,
  bias?: Floats,
): number[] {
  const [, inner, rows, columns] = kernel.shape as [number, number, number, number];
  return Array.from({ length: height * width }, (_, p) => {
    let sum = bias?.data[o] ?? 0;
    for (let i = 0; i < inner; i++) {
      for (let u = 0; u < rows; u++) {
        for (let v = 0; v < columns; v++) {
          const row = Math.floor(p / width) + u - (rows - 1) / 2;
          const column = (p % width) + v - (columns - 1) / 2;
          if (row < 0 || row >= height || column < 0 || column >= width) continue;
          sum += maps[i]![row * width + column]! * kernel.data[((o * inner + i) * rows + u) * columns + v]!;
        }
      }
    }
    return sum;
  });
}

export const transpose = (x: readonly (readonly number[])[], places: number): number[][] =>
  Array.from({ length: places }, (_, p) => x.map((plane) => plane[p]!));
