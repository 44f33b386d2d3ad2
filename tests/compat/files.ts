/** The recorded cases under tests/data. */
import { readdirSync, readFileSync } from "node:fs";
import { type StoredArray, tensorOf } from "./arrays.ts";

const data = new URL("../data/", import.meta.url);

export const readCase = <T>(path: string): T => JSON.parse(readFileSync(new URL(path, data), "utf8")) as T;

/** A recorded case in which every stored array is a tensor. */
export const readTensors = <T>(path: string): T =>
  JSON.parse(readFileSync(new URL(path, data), "utf8"), (_, value: unknown) =>
    isStored(value) ? tensorOf(value) : value,
  ) as T;

function isStored(value: unknown): value is StoredArray {
  const { dtype, shape, data } = (value ?? {}) as Partial<StoredArray>;
  return dtype !== undefined && Array.isArray(shape) && typeof data === "string";
}

/** Names of the JSON files in a folder. */
export const caseFiles = (folder: string, prefix = ""): string[] =>
  readdirSync(new URL(`${folder}/`, data))
    .filter((name) => name.startsWith(prefix) && name.endsWith(".json") && name !== "index.json")
    .sort();
