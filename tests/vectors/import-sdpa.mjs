// Brings the cases recorded from PyTorch into the project: each file unchanged, and one index that says which options
// a case uses, so that a test can choose without reading every file.
//   node tests/vectors/import-sdpa.mjs <folder>
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.argv[2];
if (!folder || folder.startsWith("-")) {
  console.log("usage: node tests/vectors/import-sdpa.mjs <folder with one JSON file per case>");
  process.exit(folder === "--help" ? 0 : 1);
}

const target = new URL("../data/sdpa/", import.meta.url);
const index = readdirSync(folder)
  .filter((name) => name.endsWith(".json") && name !== "index.json")
  .sort()
  .map((name) => {
    const { options, format } = JSON.parse(readFileSync(join(folder, name), "utf8"));
    if (format !== "saccade-oracle/sdpa/1") throw new Error(`${name}: unknown format ${format}`);
    const uses = Object.entries({
      scale: !options.scaleIsDefault,
      causal: options.causal,
      softcap: options.softcap > 0,
      window: options.windowLeft >= 0 || options.windowRight >= 0,
      kvLengths: options.kvLengths,
      mask: options.mask !== null,
      bias: options.bias !== null,
      alibiSlopes: options.alibi,
      sinks: options.sinks,
    });
    copyFileSync(join(folder, name), new URL(name, target));
    return { name: name.replace(/\.json$/, ""), uses: uses.filter(([, used]) => used).map(([key]) => key) };
  });
writeFileSync(new URL("index.json", target), `[\n${index.map((one) => `  ${JSON.stringify(one)}`).join(",\n")}\n]\n`);
console.log(`${index.length} cases written to tests/data/sdpa`);
