/** Every stored vector gives its recorded bits, in both layouts. */
import { contractAttention } from "../reference/contract.mjs";
import { hashOf } from "../vectors/hash.ts";
import { f32ToHex } from "../vectors/paint.ts";
import { type Digest, decodeOptions, paintInputs, type VectorFile } from "../vectors/schema.ts";
import { attend, type Layout, plain } from "./arrange.ts";
import { type Case, type Context, sameBits } from "./harness.ts";
import { inputsOf, type Problem } from "./problem.ts";

async function sameDigest(actual: Float32Array, expected: Digest, independent: () => Float32Array, what: string) {
  const sha256 = await hashOf(actual);
  if (sha256 === expected.sha256) return;
  const first = Array.from(actual.slice(0, 8), f32ToHex);
  const difference = [`${what}: first ${first}`, `expected ${expected.first}`].join("\n");
  try {
    sameBits(actual, independent(), what);
  } catch (error) {
    throw new Error(`${difference}\n${(error as Error).message}`);
  }
  throw new Error(`${difference}\nhash ${sha256}, expected ${expected.sha256}`);
}

export async function contractCases(load: Context["load"]): Promise<Case[]> {
  const file = (await load("contract/contract.json")) as VectorFile;
  const layouts: Layout[] = ["bshd", "bhsd"];
  return file.cases.flatMap((vector) =>
    layouts.map((layout) => ({
      name: `contract ${vector.id} ${layout}`,
      async run({ library, engine }: Context) {
        const { shape } = vector;
        const options = decodeOptions(vector.options);
        const problem: Problem = { shape, ...paintInputs(shape, vector.paint), options };
        const { out, lse } = attend(problem, { library, engine: await engine("strict"), arrangement: plain(layout) });
        const independent = () => contractAttention(inputsOf(problem), shape, options);
        await sameDigest(out, vector.out, () => independent().out, "out");
        await sameDigest(lse, vector.lse, () => independent().lse, "lse");
      },
    })),
  );
}
