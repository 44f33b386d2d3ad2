// Brings recorded cases (cases.jsonl and expected.jsonl in one folder) into the project's own vector file.
//   npx tsx tests/vectors/import-contract.ts <folder>
// Gains become float32 hex, `causal: { qOffset }` becomes `causal: true` with an explicit `qOffset`, and every case
// states its qOffset: where the source leaves it out beside a window or ALiBi it is kvLen - qLen, otherwise unused and 0.
// The source records the first values only; the last ones are added from the JavaScript implementation of the contract,
// once its hashes have proved equal to the recorded ones.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { contractAttention } from "../reference/contract.mjs";
import { hashOf } from "./hash.ts";
import { f32ToHex, type Paint, type Rule } from "./paint.ts";
import { type Digest, decodeOptions, paintInputs, type Shape, type VectorCase, type VectorOptions } from "./schema.ts";

type SourcePaint = { rule: Rule; seed: number; gain: number };
type SourceOptions = Omit<VectorOptions, "causal" | "bias"> & {
  causal?: { qOffset: number };
  bias?: SourcePaint & { shape: number[] };
};
interface SourceCase {
  id: string;
  shape: Shape;
  paint: Record<"query" | "key" | "value", SourcePaint>;
  options: SourceOptions;
}
type SourceResult = { id: string } & Record<"out_sha256" | "lse_sha256", string> &
  Record<"out_first" | "lse_first", string[]>;

const folder = process.argv[2];
if (!folder || folder.startsWith("-")) {
  console.log("usage: npx tsx tests/vectors/import-contract.ts <folder with cases.jsonl and expected.jsonl>");
  process.exit(folder === "--help" ? 0 : 1);
}

const lines = <T>(name: string): T[] =>
  readFileSync(join(folder, name), "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));

function f32Hex(x: number): string {
  if (Math.fround(x) !== x) throw new Error(`${x} is not a float32`);
  return f32ToHex(x);
}

const painted = ({ rule, seed, gain }: SourcePaint): Paint => ({ rule, seed, gain: f32Hex(gain) });

function options(given: SourceOptions, shape: Shape): VectorOptions {
  const { causal, bias, ...rest } = given;
  const positional = rest.window !== undefined || rest.alibiSlopes !== undefined;
  const qOffset = causal?.qOffset ?? (positional ? shape.kvLen - shape.qLen : 0);
  return {
    ...(causal && { causal: true }),
    qOffset,
    ...rest,
    ...(bias && { bias: { ...bias, gain: f32Hex(bias.gain) } }),
  };
}

const notes: Record<string, string> = {
  plain: "no option: shapes, tails of blocks and segments, empty sides",
  dim: "head sizes around the segment of 64, value size other than head size",
  gqa: "query head h reads kv head floor(h / group)",
  causal: "row i sees key j when j <= i + qOffset; negative offsets leave rows empty",
  window: "inclusive on both sides, either side open",
  lengths: "kvLengths per batch row, 0 included",
  mask: "true may attend; every broadcast shape; rows and blocks without any key",
  bias: "added in base 2 after one rounded product",
  biaspoison: "-Infinity excludes a key, NaN and +Infinity make the row NaN",
  softcap: "capped before bias and mask",
  scale: "zero, negative and unusual scales, rounded twice",
  alibi: "distance from i + qOffset, both directions, slopes of zero",
  sink: "merged last; rows without keys have the sink's lse",
  peaked: "one key wins: exp2 underflows for the others",
  "poison-hidden": "NaN and Infinity under a mask never show",
  "poison-shown": "NaN and Infinity in visible keys show where they must and nowhere else",
  edge: "products that overflow float32",
  "score-inf": "a score of -Infinity hides its key, one of +Infinity makes the row NaN",
  mixed: "several options at once",
  extra: "single rounding steps that a shortcut would miss",
};

async function digest(values: Float32Array, sha256: string, first: string[], where: string): Promise<Digest> {
  if ((await hashOf(values)) !== sha256) throw new Error(`${where}: the recorded hash is not that of the contract`);
  return { sha256, first, last: Array.from(values.slice(-8), f32ToHex) };
}

const expected = new Map(lines<SourceResult>("expected.jsonl").map((line) => [line.id, line]));
const cases: VectorCase[] = [];
for (const source of lines<SourceCase>("cases.jsonl")) {
  const { id, shape } = source;
  const want = expected.get(id);
  if (!want) throw new Error(`${id} has no expected result`);
  expected.delete(id);
  const flag = id.startsWith("extra-") ? "extra" : id.replace(/^\d+-/, "");
  if (!(flag in notes)) throw new Error(`${id}: no note explains ${flag}`);
  const paint = {
    query: painted(source.paint.query),
    key: painted(source.paint.key),
    value: painted(source.paint.value),
  };
  const given = options(source.options, shape);
  const { query, key, value } = paintInputs(shape, paint);
  const result = contractAttention(
    { query: query.data, key: key.data, value: value.data },
    shape,
    decodeOptions(given),
  );
  const out = await digest(result.out, want.out_sha256, want.out_first, `${id} out`);
  const lse = await digest(result.lse, want.lse_sha256, want.lse_first, `${id} lse`);
  cases.push({ id, flags: [flag], shape, paint, options: given, out, lse });
}
if (expected.size > 0) throw new Error(`results without a case: ${[...expected.keys()].join(", ")}`);

const target = new URL("../data/contract/contract.json", import.meta.url);
const head = JSON.stringify({ schema: 1, profile: "saccade-attn-f32-v1", level: "L2", notes }, null, 1);
const body = cases.map((one) => `  ${JSON.stringify(one)}`).join(",\n");
writeFileSync(target, `${head.slice(0, -2)},\n "cases": [\n${body}\n ]\n}\n`);
console.log(`${cases.length} cases written to tests/data/contract/contract.json`);
