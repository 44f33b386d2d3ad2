/** The recorded cases under tests/data. */
import { readdirSync, readFileSync } from "node:fs";

const data = new URL("../data/", import.meta.url);

export const readCase = <T>(path: string): T => JSON.parse(readFileSync(new URL(path, data), "utf8")) as T;

/** Names of the JSON files in a folder. */
export const caseFiles = (folder: string, prefix = ""): string[] =>
  readdirSync(new URL(`${folder}/`, data))
    .filter((name) => name.startsWith(prefix) && name.endsWith(".json") && name !== "index.json")
    .sort();
