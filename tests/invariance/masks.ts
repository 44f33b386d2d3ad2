/** The same rule said in another way gives the same bits. */
import { problemOf } from "../conformance/arbitrary.ts";
import { bitMaskOf } from "../conformance/bit-mask.ts";
import { equal, sameBits, sameList } from "../conformance/harness.ts";
import type { Problem, ProblemOptions } from "../conformance/problem.ts";
import { sees } from "../reference/rules.mjs";
import { type Law, lawCasesOf, sameOutcome } from "./law.ts";
import { biasAt, biasFrom, maskFrom, offsetOf, visibilityOf } from "./slices.ts";

const withOptions = (problem: Problem, options: ProblemOptions): Problem => ({ ...problem, options });

/** The paper's slopes: a geometric sequence for a power of two, else every second one of the next power after it. */
export function paperSlopes(heads: number): number[] {
  const power = 2 ** Math.floor(Math.log2(heads));
  const sequence = (n: number) => Array.from({ length: n }, (_, k) => 2 ** ((-8 * (k + 1)) / n));
  const more = sequence(2 * power).filter((_, k) => k % 2 === 0);
  return [...sequence(power), ...more].slice(0, heads);
}

const laws: Law[] = [
  {
    name: "a boolean mask is a bias of 0 and -Infinity",
    count: 120,
    holds(sketch, _choice, { run }) {
      const problem = problemOf(sketch);
      const { bias: _bias, ...options } = problem.options;
      const { mask, ...rest } = options;
      if (!mask) return;
      const asBias = {
        shape: mask.shape,
        data: Float32Array.from(mask.data, (m) => (m ? 0 : Number.NEGATIVE_INFINITY)),
      };
      sameOutcome(run(withOptions(problem, { ...rest, bias: asBias })), run(withOptions(problem, options)), "bias");
    },
  },
  {
    name: "all rules of visibility are one full mask",
    count: 50,
    holds(sketch, _choice, { run, exact, same }) {
      const problem = problemOf(sketch);
      const { scale, softcap, bias, qOffset, alibiSlopes, sinks, qLengths } = problem.options;
      const all = Object.entries({ scale, softcap, bias, qOffset, alibiSlopes, qLengths, sinks });
      const options = Object.fromEntries(all.filter(([, value]) => value !== undefined)) as ProblemOptions;
      const masked = withOptions(problem, { ...options, mask: maskFrom(problem.shape, visibilityOf(problem)) });
      if (exact) sameOutcome(run(masked), run(problem), "mask");
      else same(run(masked), run(problem), problem, "mask");
    },
  },
  {
    name: "causal is a window to the right of 0, a BitMask and a boolean mask",
    count: 40,
    holds(sketch, choice, { run }) {
      const problem = problemOf(sketch);
      const { causal: _c, window: _w, mask: _m, rule: _r, ...options } = problem.options;
      const qOffset = (choice % (problem.shape.kvLen + 6)) - 3;
      const expected = run(withOptions(problem, { ...options, qOffset, causal: true }));
      const forms: Record<string, ProblemOptions> = {
        window: { window: { right: 0 } },
        rule: { rule: { kind: "causal", offset: qOffset } },
        prefix: { rule: { kind: "prefixLm", lengths: [0], offset: qOffset } },
        mask: { mask: maskFrom({ ...problem.shape, batch: 1, numHeads: 1 }, (_b, _h, i, j) => j <= i + qOffset) },
      };
      for (const [name, form] of Object.entries(forms)) {
        sameOutcome(run(withOptions(problem, { ...options, qOffset, ...form })), expected, name);
      }
    },
  },
  {
    name: "a window is a BitMask, with its first keys as global ones",
    count: 40,
    holds(sketch, choice, { run }) {
      const problem = problemOf(sketch);
      const { mask: _m, rule: _r, ...options } = problem.options;
      const qOffset = (choice % (problem.shape.kvLen + 6)) - 3;
      const window = { left: choice % 70, right: choice % 3, first: choice % 5 };
      const key = Array.from({ length: Math.min(window.first, problem.shape.kvLen) }, (_, j) => j);
      const rule = {
        kind: "or" as const,
        of: [
          { kind: "window" as const, left: window.left, right: window.right, offset: qOffset },
          { kind: "global" as const, query: [], key },
        ] as [never, never],
      };
      const { window: _w, ...rest } = options;
      const expected = run(withOptions(problem, { ...options, qOffset, window }));
      sameOutcome(run(withOptions(problem, { ...rest, qOffset, rule })), expected, "rule");
    },
  },
  {
    name: "a BitMask is its toTensor(), which is what its rule says",
    count: 120,
    holds(sketch, _choice, { run, library }) {
      const problem = problemOf(sketch);
      const { rule, ...options } = problem.options;
      if (!rule) return;
      const { qLen, kvLen, batch, numHeads } = problem.shape;
      const tensor = bitMaskOf(library, rule).toTensor(qLen, kvLen);
      sameList(Array.from(tensor.shape).slice(-2), [qLen, kvLen], "the last axes of toTensor().shape");
      const mask = { data: Uint8Array.from(tensor.data), shape: Array.from(tensor.shape) };
      const [heads, rows] = [mask.shape.at(-3) ?? 1, mask.shape.at(-4) ?? 1];
      mask.data.forEach((seen, n) => {
        const j = n % kvLen;
        const i = Math.floor(n / kvLen) % qLen;
        const h = Math.floor(n / (kvLen * qLen)) % heads;
        const b = Math.floor(n / (kvLen * qLen * heads)) % rows;
        equal(seen, sees(rule, b, h, i, j) ? 1 : 0, `toTensor() at ${[b, h, i, j]} of ${JSON.stringify(rule.kind)}`);
      });
      equal(mask.data.length > 0, rows * heads * qLen * kvLen > 0, "toTensor() has elements");
      sameList([heads === 1 || heads === numHeads, rows === 1 || rows === batch], [true, true], "axes fit the call");
      const expected = run(problem);
      sameOutcome(run(withOptions(problem, { ...options, mask })), expected, "its tensor");
      const again = { kind: "stored" as const, ...mask };
      sameOutcome(run(withOptions(problem, { ...options, rule: again })), expected, "a BitMask of its tensor");
    },
  },
  {
    name: "lengths are masks, and rows past qLengths are +0 with an lse of -Infinity",
    count: 40,
    holds(sketch, choice, { run }) {
      const problem = problemOf(sketch);
      const { batch, numHeads, qLen, kvLen, valueHeadDim } = problem.shape;
      const { kvLengths: _k, qLengths: _q, mask: _m, rule: _r, ...options } = problem.options;
      const kvLengths = Array.from({ length: batch }, (_, b) => (choice + 31 * b) % (kvLen + 1));
      const qLengths = Array.from({ length: batch }, (_, b) => (choice + 17 * b) % (qLen + 1));
      const actual = run(withOptions(problem, { ...options, kvLengths, qLengths }));
      const mask = maskFrom({ ...problem.shape, numHeads: 1, qLen: 1 }, (b, _h, _i, j) => j < kvLengths[b]!);
      const masked = run(withOptions(problem, { ...options, mask }));
      for (let row = 0; row < batch * numHeads * qLen; row++) {
        const valid = row % qLen < qLengths[Math.floor(row / (qLen * numHeads))]!;
        const from = row * valueHeadDim;
        const expected = valid ? masked.out.subarray(from, from + valueHeadDim) : new Float32Array(valueHeadDim);
        sameBits(actual.out.subarray(from, from + valueHeadDim), expected, `row ${row}`);
        equal(actual.lse[row], valid ? masked.lse[row] : Number.NEGATIVE_INFINITY, `lse of row ${row}`);
      }
    },
  },
  {
    name: "what is broadcast is what it stands for, however it lies in memory",
    count: 100,
    wild: true,
    holds(sketch, choice, { run }) {
      const problem = problemOf(sketch);
      const { mask, bias } = problem.options;
      if (!mask && !bias) return;
      const expected = run(problem);
      const memory = (["gaps", "expanded", "resident"] as const)[choice % 3]!;
      const arrangement = { layout: "bhsd", rank: 4, memory: null, resident: false, masks: memory } as const;
      sameOutcome(run(problem, { arrangement }), expected, memory);
      const at = biasAt(problem);
      const { mask: _m, ...others } = problem.options;
      const onlyMask = visibilityOf(withOptions(problem, mask ? { mask } : {}));
      const full = withOptions(problem, {
        ...others,
        ...(mask && { mask: maskFrom(problem.shape, onlyMask) }),
        ...(bias && { bias: biasFrom(problem.shape, (...index) => at(...index)) }),
      });
      sameOutcome(run(full), expected, "every element stored");
    },
  },
  {
    name: "a bias of 0, slopes of 0 and sinks of -Infinity are none",
    count: 30,
    holds(sketch, choice, { run }) {
      const problem = problemOf(sketch);
      const { bias: _b, alibiSlopes: _a, sinks: _s, ...options } = problem.options;
      const expected = run(withOptions(problem, options));
      const { numHeads, kvLen } = problem.shape;
      const forms: ProblemOptions[] = [
        { bias: { data: new Float32Array(kvLen).fill(choice % 2 ? -0 : 0), shape: [kvLen] } },
        { qOffset: 3, alibiSlopes: new Float32Array(numHeads) },
        { sinks: new Float32Array(numHeads).fill(Number.NEGATIVE_INFINITY) },
      ];
      for (const form of forms) {
        const more = { ...options, ...form, qOffset: options.qOffset ?? 3 };
        sameOutcome(run(withOptions(problem, more)), expected, Object.keys(form).join());
      }
    },
  },
  {
    name: "ALiBi with slopes that are powers of two is the same bias, and auto is the paper's",
    count: 40,
    holds(sketch, choice, { run }) {
      const drawn = problemOf(sketch);
      const problem = { ...drawn, storage: { ...drawn.storage, bias: "float32" as const } };
      const { bias: _b, alibiSlopes: _a, ...options } = problem.options;
      const { numHeads } = problem.shape;
      const alibiSlopes = Array.from({ length: numHeads }, (_, h) => 2 ** -((h + choice) % 9));
      const bias = biasFrom(problem.shape, (b, h, i, j) => alibiSlopes[h]! * -Math.abs(i + offsetOf(options, b) - j));
      const expected = run(withOptions(problem, { ...options, bias }));
      sameOutcome(run(withOptions(problem, { ...options, alibiSlopes })), expected, "slopes");
      const auto = run(withOptions(problem, { ...options, alibiSlopes: "auto" as never }));
      sameOutcome(auto, run(withOptions(problem, { ...options, alibiSlopes: paperSlopes(numHeads) })), "auto");
    },
  },
  {
    name: "a bias of -3.4e38 is no mask: alone it is uniform, beside others it weighs nothing",
    count: 40,
    holds(sketch, choice, { run }) {
      const problem = problemOf({ ...sketch, storage: {} });
      const { bias: _b, alibiSlopes: _a, sinks: _s, softcap: _c, ...options } = problem.options;
      const lowest = Math.fround(-3.4e38);
      const everywhere = { data: Float32Array.of(lowest), shape: [1] };
      const uniform = run(withOptions(problem, { ...options, scale: 0 }));
      sameBits(run(withOptions(problem, { ...options, bias: everywhere })).out, uniform.out, "a uniform mean");
      // Every third key weighs nothing, where the row sees another one.
      const visible = visibilityOf(withOptions(problem, options));
      const { kvLen } = problem.shape;
      const isLow = (j: number) => (j + choice) % 3 === 0;
      const hasOther = (b: number, h: number, i: number) => {
        for (let j = 0; j < kvLen; j++) if (!isLow(j) && visible(b, h, i, j)) return true;
        return false;
      };
      const shape = problem.shape;
      const low = biasFrom(shape, (b, h, i, j) => (isLow(j) && hasOther(b, h, i) ? lowest : 0));
      const hidden = biasFrom(shape, (b, h, i, j) => (isLow(j) && hasOther(b, h, i) ? Number.NEGATIVE_INFINITY : 0));
      sameOutcome(
        run(withOptions(problem, { ...options, bias: low })),
        run(withOptions(problem, { ...options, bias: hidden })),
        "without weight",
      );
    },
  },
  {
    name: "offsets in words are those numbers",
    count: 30,
    holds(sketch, choice, { run }) {
      const problem = problemOf(sketch);
      const { batch, qLen, kvLen } = problem.shape;
      const options = { ...problem.options, causal: true };
      const { kvLengths, qLengths } = options;
      const bottom = Array.from({ length: batch }, (_, b) => (kvLengths?.[b] ?? kvLen) - (qLengths?.[b] ?? qLen));
      const word = choice % 2 ? "bottom-right" : "top-left";
      const actual = run(withOptions(problem, { ...options, qOffset: word as never }));
      const expected = run(withOptions(problem, { ...options, qOffset: choice % 2 ? bottom : 0 }));
      sameOutcome(actual, expected, word);
    },
  },
];

export const maskLaws = lawCasesOf(laws);
