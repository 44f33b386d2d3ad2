// @ts-check
/**
 * The roof of this machine: what 128-bit SIMD in this engine can do at most, measured in a third of a second. Every
 * speed that the bench and the examples print is a share of it, so figures from different machines can be compared.
 *
 * Each figure is the best of many short samples: a peak is what the machine can do when nothing else disturbs it.
 */
/**
 * @typedef {object} Peaks
 * @property {number} strictGflops 1e9 separate multiplications and additions per second (the strict build's peak)
 * @property {number | null} fusedGflops the same with fused multiply-add; null where relaxed SIMD is missing
 * @property {number} divGops 1e9 divided lanes per second
 * @property {number} expGops 1e9 exp2 lanes per second (degree 6, four vectors interleaved)
 */

/**
 * @typedef {object} Again
 * @property {(byteLength: number) => number} readGBps 1e9 bytes per second, reading that many bytes again and again
 * @property {(milliseconds?: number) => Peaks} sweep measures the peaks anew: the clock changes with load and heat
 */

/** @typedef {Peaks & Again} Roof what was measured first, and how to measure more */

/**
 * @typedef {object} Probe the exports of the probe that are called by name; the chains are found by theirs
 * @property {WebAssembly.Memory} memory
 * @property {WebAssembly.Global} __heap_base
 * @property {() => number} unroll
 * @property {(from: number, count: number, table: number) => number} exp2_sum
 * @property {(from: number, byteLength: number) => number} read_1
 * @property {(from: number, byteLength: number) => number} read_4
 */

/**
 * @typedef {object} Rate one export that is timed
 * @property {(rounds: number) => void} run
 * @property {number} perRound operations in a round
 * @property {number} rounds of one sample
 * @property {number} best operations per second
 */

const SAMPLE_MS = 1.5;
const VECTOR = 16;
const PAGE = 65536;
/** So many in a call that what a call from JavaScript costs, which varies, does not count. */
const EXP_COUNT = 32768;
/** Lowest argument, magic number, then c0..c6 of exp2. */
const EXP_TABLE = [
  0xc2fc0000, 0x4b400000, 0x3f800000, 0x3f317219, 0x3e75fdf1, 0x3d635739, 0x3c1d9387, 0x3aafb93b, 0x392385a5,
];
/** Time given to one byte range: shorter, and luck decides more than the machine. */
const READ_MS = 60;

/** From the file, or in a page from the server. @param {URL} url @returns {Promise<Uint8Array<ArrayBuffer>>} */
async function read(url) {
  if (url.protocol === "file:") {
    const { readFile } = await import("node:fs/promises");
    return Uint8Array.from(await readFile(url));
  }
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** @param {string} variant @returns {Promise<WebAssembly.Module | null>} */
export async function compile(variant) {
  const url = new URL(`./dist/roof.${variant}.wasm`, import.meta.url);
  let bytes;
  try {
    bytes = await read(url);
  } catch (cause) {
    throw new Error(`the roof probe is not built (${url.pathname} is missing): run \`npm run build\``, { cause });
  }
  return WebAssembly.validate(bytes) ? await WebAssembly.compile(bytes) : null;
}

/** An instance of its own. @param {WebAssembly.Module} module @returns {Promise<Probe>} */
export async function probeOf(module) {
  return /** @type {any} */ ((await WebAssembly.instantiate(module)).exports);
}

/**
 * Room behind the module's own data for operands; memory grows when needed.
 *
 * @param {Probe} probe
 * @param {number} byteLength
 */
function room(probe, byteLength) {
  const { memory } = probe;
  // A whole page above the data and the stack: always aligned, and the same address every time.
  const start = Math.ceil(probe.__heap_base.value / PAGE) * PAGE;
  const missing = start + byteLength - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
  return { buffer: memory.buffer, start };
}

/** @param {Probe} probe */
export function ratesOf(probe) {
  const { buffer, start } = room(probe, PAGE + EXP_COUNT * 4);
  const chains = new Float32Array(buffer, start, 256);
  const table = start + chains.byteLength;
  const exponents = table + 9 * VECTOR;
  new Uint32Array(buffer, table, 9 * 4).set(EXP_TABLE.flatMap((bits) => [bits, bits, bits, bits]));
  new Float32Array(buffer, exponents, EXP_COUNT).set(
    Array.from({ length: EXP_COUNT }, (_, i) => -20 * ((i * 0.618034) % 1)),
  );
  const unroll = probe.unroll();
  /** @param {string} name @param {number} opsPerStep */
  const chainRates = (name, opsPerStep) =>
    Object.entries(/** @type {Record<string, any>} */ (probe))
      .filter(([key]) => key.startsWith(`${name}_`))
      .map(([key, chain]) => ({
        run(/** @type {number} */ rounds) {
          // x -> x / 2 + 1 and x -> 0.5 / x stay near 1: neither subnormal nor infinite, which would be slow.
          for (let i = 0; i < chains.length; i++) chains[i] = i < 4 ? 0.5 : 1 + i / 1024;
          chain(start, rounds);
        },
        perRound: Number(key.slice(name.length + 1)) * 4 * opsPerStep * unroll,
        rounds: 64,
        best: 0,
      }));
  return {
    strict: chainRates("multiply_add", 2),
    fused: chainRates("fused", 2),
    divide: chainRates("divide", 1),
    exp: [
      {
        run(/** @type {number} */ rounds) {
          for (let i = 0; i < rounds; i++) probe.exp2_sum(exponents, EXP_COUNT, table);
        },
        perRound: EXP_COUNT,
        rounds: 1,
        best: 0,
      },
    ],
  };
}

/** Times one sample, keeps the best, and sizes the next sample. @param {Rate} rate */
function sample(rate) {
  const before = performance.now();
  rate.run(rate.rounds);
  const elapsed = performance.now() - before;
  // A sample far below the clock's step says nothing.
  if (elapsed > SAMPLE_MS / 4) rate.best = Math.max(rate.best, (rate.rounds * rate.perRound * 1000) / elapsed);
  const wanted = elapsed > 0 ? SAMPLE_MS / elapsed : 16;
  rate.rounds = Math.max(1, Math.min(1e9, Math.round(rate.rounds * Math.min(16, wanted))));
}

/** @param {Rate[]} rates */
const gigaOf = (rates) => Math.max(...rates.map((rate) => rate.best)) / 1e9;

/**
 * A range to read, its length a multiple of 512.
 *
 * @param {Probe} probe
 * @param {number} byteLength
 */
export function rangeOf(probe, byteLength) {
  const length = Math.max(512, Math.ceil(byteLength / 512) * 512);
  const { buffer, start } = room(probe, length);
  // Pages never written share one page of zeros, which would sit in the cache.
  new Uint8Array(buffer, start, length).fill(1);
  return { start, length };
}

/**
 * @param {Probe} probe
 * @param {number} byteLength
 */
function readGBps(probe, byteLength) {
  const { start, length } = rangeOf(probe, byteLength);
  const rates = [probe.read_1, probe.read_4].map((read) => ({
    run(/** @type {number} */ rounds) {
      for (let i = 0; i < rounds; i++) read(start, length);
    },
    perRound: length,
    rounds: 1,
    best: 0,
  }));
  const end = performance.now() + READ_MS;
  do rates.forEach(sample);
  while (performance.now() < end || rates.some((rate) => rate.best === 0));
  return gigaOf(rates);
}

/**
 * Measures the roof. The better of both builds counts where both can run: the engine may compile either one well.
 *
 * @param {{ milliseconds?: number }} [options] how long to measure (300)
 * @returns {Promise<Roof>}
 */
export async function measureRoof({ milliseconds = 300 } = {}) {
  const module = await compile("strict");
  if (module === null) throw new Error("this engine has no WebAssembly SIMD");
  const fast = await compile("fast");
  // An instance of its own: reading grows the memory and fills it, under the other probes' operands.
  const reader = await probeOf(module);
  const rates = ratesOf(await probeOf(module));
  const fused = fast === null ? null : ratesOf(await probeOf(fast)).fused;
  const all = [...Object.values(rates).flat(), ...(fused ?? [])];
  const sweep = (time = milliseconds) => {
    for (const rate of all) rate.best = 0;
    const end = performance.now() + time;
    do all.forEach(sample);
    while (performance.now() < end || all.some((rate) => rate.best === 0));
    return {
      strictGflops: gigaOf(rates.strict),
      fusedGflops: fused === null ? null : gigaOf(fused),
      divGops: gigaOf(rates.divide),
      expGops: gigaOf(rates.exp),
    };
  };
  return { ...sweep(), sweep, readGBps: (byteLength) => readGBps(reader, byteLength) };
}
