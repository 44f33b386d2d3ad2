/** exp2 and tanh of the wasm itself, bit for bit against the JavaScript ones: every seam, and a dense sample. */
import { exp2, fromBits, tanh, toBits } from "../reference/functions.mjs";
import { type Build, type Case, type Context, equal, ok } from "./harness.ts";

/** Kind 2 of the wasm's dispatch: one function over an array. Its block is four u32: op, n, input, out. */
const KIND_FUNCTION = 2;
export const functionCodes = { exp2: 0, tanh: 1 } as const;
export type FunctionName = keyof typeof functionCodes;

export interface Kernel {
  memory: WebAssembly.Memory;
  heap_base(): number;
  plan(kind: number, args: number): number;
  run(kind: number, phase: number, args: number, pass: number, from: number, to: number): number;
}

/** Instantiates the wasm without the package's loader: one memory, and nothing that does anything. */
export async function instantiate(bytes: Uint8Array<ArrayBuffer>): Promise<Kernel> {
  const module = await WebAssembly.compile(bytes);
  const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536 });
  const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {};
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    imports[from] ??= {};
    imports[from][name] = kind === "memory" ? memory : () => {};
  }
  const { exports } = await WebAssembly.instantiate(module, imports);
  return { ...(exports as unknown as Omit<Kernel, "memory">), memory };
}

export function callFunction(kernel: Kernel, name: FunctionName, input: Float32Array): Float32Array {
  const args = (kernel.heap_base() >>> 0) + 64 - ((kernel.heap_base() >>> 0) % 64);
  const from = args + 64;
  const to = from + 4 * input.length;
  const missing = to + 4 * input.length - kernel.memory.buffer.byteLength;
  if (missing > 0) kernel.memory.grow(Math.ceil(missing / 65536));
  new Uint32Array(kernel.memory.buffer, args, 4).set([functionCodes[name], input.length, from, to]);
  new Float32Array(kernel.memory.buffer, from, input.length).set(input);
  equal(kernel.plan(KIND_FUNCTION, args), 0, "status of plan");
  equal(kernel.run(KIND_FUNCTION, 0, args, 0, 0, 1), 0, "status of run");
  return new Float32Array(kernel.memory.buffer, to, input.length).slice();
}

/** Every float32 bit pattern from `first` to `last`, `step` apart, and both ends with their neighbours. */
function patterns(first: number, last: number, step: number): number[] {
  const words = [first, first + 1, last - 1, last];
  for (let word = first; word <= last; word += step) words.push(word);
  return words;
}

/** Bit patterns on and around a seam. */
const around = (x: number) => [-3, -2, -1, 0, 1, 2, 3].map((n) => (toBits(x) + n) >>> 0);

/** Specials whose payload and sign must not matter. */
const specials = [0x7fc00000, 0xffc00000, 0x7f800001, 0xffbfffff];

export function sampleOf(name: FunctionName, long: boolean): Uint32Array {
  const step = long ? 257 : 40_009;
  if (name === "exp2") {
    // -0 to -126.5, and below: everything from there is 0. Halves are where the split into n + f turns over.
    const seams = [-0, -0.5, -1, -1.5, -2.5, -124.5, -125.5, -126, -126.5, -127, -149, -150, -1e30].flatMap(around);
    return Uint32Array.from([...patterns(0x80000000, toBits(-127), step), ...seams, 0, 0xff800000, ...specials]);
  }
  const seams = [0.625, -0.625, 1, 9, 10, 44, 88, -88].flatMap(around);
  const infinite = [0x7f800000, 0xff800000];
  const positive = patterns(0, 0x7f7fffff, step * 2);
  const negative = positive.map((word) => (word | 0x80000000) >>> 0);
  return Uint32Array.from([...positive, ...negative, ...seams, ...infinite, ...specials]);
}

/** Exact results to compare with, in float64, and the largest error the contract states, in units of the last place. */
const exact: Record<FunctionName, { of: (x: number) => number; ulps: number }> = {
  exp2: { of: (x) => 2 ** x, ulps: 1.2915 },
  tanh: { of: Math.tanh, ulps: 1.93 },
};

const portable: Record<FunctionName, (x: number) => number> = { exp2, tanh };

/** The spacing of float32 values at the size of x; the smallest normal spacing below that. */
const spacing = (x: number) => 2 ** (Math.max(-126, Math.floor(Math.log2(Math.abs(x)))) - 23);

function functionCase(name: FunctionName, build: Build): Case {
  return {
    name: `function ${build}: ${name} over its seams and a dense sample`,
    ...(build === "fast" ? { needs: "relaxedSimd" as const } : {}),
    async run({ wasm, long, record }: Context) {
      const kernel = await instantiate(await wasm(build));
      const words = sampleOf(name, long);
      const input = Float32Array.from(words, fromBits);
      const output = callFunction(kernel, name, input);
      const { of, ulps } = exact[name];
      let differing = 0;
      for (let i = 0; i < input.length; i++) {
        const x = input[i]!;
        const y = output[i]!;
        const want = portable[name](x);
        const show = `${name}(${x}, ${words[i]!.toString(16)}) is ${toBits(y).toString(16)}`;
        if (build === "strict") ok(toBits(y) === toBits(want), `${show}, expected ${toBits(want).toString(16)}`);
        if (Number.isNaN(x)) {
          ok(Number.isNaN(y), `${show}, expected NaN`);
          continue;
        }
        // Below -126 exp2 is 0 by definition.
        if (name === "exp2" && x < -126) continue;
        const error = Math.abs(y - of(x)) / spacing(of(x));
        record(`${name} ${build} ulps`, error);
        if (!(error <= ulps)) differing++;
      }
      equal(differing, 0, `values of ${name} further than ${ulps} ulp away`);
    },
  };
}

export const functionCases: Case[] = [
  functionCase("exp2", "strict"),
  functionCase("tanh", "strict"),
  functionCase("exp2", "fast"),
  functionCase("tanh", "fast"),
];
