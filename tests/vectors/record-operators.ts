/**
 * Records what the native portable build gives for every case of tests/data/operators: `npx tsx
 * tests/vectors/record-operators.ts [file …]`. New cases get their hashes; a changed hash of an old case is refused, since the
 * bits of a profile never change (remove the hash by hand where the profile is not yet published).
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { askNative } from "./native.ts";
import { OPERATOR_FILES, type OperatorFile } from "./operator-case.ts";

const wanted = process.argv.slice(2);

for (const name of OPERATOR_FILES) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const path = fileURLToPath(new URL(`../data/operators/${name}.json`, import.meta.url));
  const file = JSON.parse(readFileSync(path, "utf8")) as OperatorFile;
  const answers = await askNative(file.cases);
  file.cases.forEach((each, index) => {
    const { sha256 } = answers[index]!;
    if (each.sha256 !== undefined && each.sha256.join() !== sha256.join()) {
      throw new Error(`${name}: ${each.id} has another hash than the recorded one`);
    }
    each.sha256 = sha256;
  });
  const lines = file.cases.map((each) => `    ${JSON.stringify(each)}`);
  writeFileSync(path, `{\n  "cases": [\n${lines.join(",\n")}\n  ]\n}\n`);
  console.log(`${name}: ${file.cases.length} cases`);
}
