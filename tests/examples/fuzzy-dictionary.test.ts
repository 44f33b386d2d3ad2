import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { readSafetensors } from "saccade/interop";
import { describe, expect, it } from "vitest";
import { decode } from "../reference/half.mjs";
import { dotOf, expectRefusal, runExample, softmaxOf, tableLines } from "./run.ts";

const DATA = new URL("../../examples/fuzzy-dictionary/data/", import.meta.url);
const MODEL = new URL("../data/minilm/minilm-l6-f16.safetensors", import.meta.url);
const VOCABULARY = new URL("../data/minilm/vocab.txt", import.meta.url);

const bytes = readFileSync(new URL("word-embeddings.safetensors", DATA));
const file = readSafetensors(bytes);
const words = file.metadata.get("words")!.split(" ");
const recorded = file.tensors.get("word_embeddings")!;
const ids = file.tensors.get("token_ids")!.data as Int32Array;
const dim = recorded.shape[1]!;
const values = decode(recorded.data as Uint16Array, "float16") as Float32Array;

const run = (...args: string[]) => runExample("fuzzy-dictionary", ...args);

function vector(word: string): Float32Array {
  const row = words.indexOf(word);
  expect(row).toBeGreaterThanOrEqual(0);
  return values.subarray(row * dim, (row + 1) * dim);
}

function cosineOf(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return dotOf(a, b) / Math.sqrt(dotOf(a, a) * dotOf(b, b));
}

/** The nearest word to a mix of words, in f64. */
function nearest(mix: readonly (readonly [string, number])[]): string {
  const sum = Array.from({ length: dim }, (_, i) =>
    mix.reduce((x, [word, weight]) => x + weight * vector(word)[i]!, 0),
  );
  const similar = words.map((word) => cosineOf(sum, vector(word)));
  return words[similar.indexOf(Math.max(...similar))]!;
}

/** The printed line of a scoring: the numbers of the keys, and the answer. */
function lineOf(stdout: string, scoring: string | RegExp) {
  const line = tableLines(stdout).find(([name]) =>
    typeof scoring === "string" ? name === scoring : scoring.test(name!),
  );
  expect(line, `the line "${scoring}"`).toBeDefined();
  return { numbers: line!.slice(1, -1).map(Number), answer: line!.at(-1)! };
}

/** Printed numbers have three decimals. */
function expectPrinted(printed: readonly number[], exact: readonly number[]) {
  expect(printed).toHaveLength(exact.length);
  for (const [i, x] of exact.entries()) expect(Math.abs(printed[i]! - x)).toBeLessThan(0.000_51);
}

const KEYS = ["color", "age", "type"];

describe("the dictionary of the textbook", () => {
  it("asked for species finds type, by every sharp scoring", () => {
    const { status, stdout, stderr } = run();
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(stdout).toContain('{ color: "blue", age: 22, type: "pickup" }');
    const query = vector("species");
    const cosines = KEYS.map((key) => cosineOf(query, vector(key)));
    const dots = KEYS.map((key) => dotOf(query, vector(key)));
    const distances = KEYS.map((key) => {
      const difference = vector(key).map((x, i) => x - query[i]!);
      return dotOf(difference, difference);
    });
    expectPrinted(lineOf(stdout, "(the cosine itself)").numbers, cosines);
    const soft = softmaxOf(cosines, 0.05);
    expectPrinted(lineOf(stdout, "cosine, softmax at 0.05").numbers, soft);
    expectPrinted(lineOf(stdout, "dot, softmax at 0.05").numbers, softmaxOf(dots, 0.05));
    const scaled = softmaxOf(dots, Math.sqrt(dim));
    expectPrinted(lineOf(stdout, "scaled dot, softmax").numbers, scaled);
    const kernel = softmaxOf(distances.map((squared) => -squared / 0.05 / 2));
    expectPrinted(lineOf(stdout, /^gaussian kernel/).numbers, kernel);
    const two = softmaxOf(cosines.slice(1), 0.05);
    expectPrinted(lineOf(stdout, "cosine, top 2").numbers, [0, ...two]);
    // Two keys are in the support: each weight is its score less the same threshold.
    const [, age, type] = cosines.map((cosine) => cosine / 0.05) as [number, number, number];
    expectPrinted(lineOf(stdout, "cosine, sparsemax").numbers, [0, (1 + age - type) / 2, (1 + type - age) / 2]);
    expect(lineOf(stdout, "cosine, hard")).toEqual({ numbers: [0, 0, 1], answer: "pickup" });
    const drawn = lineOf(stdout, "cosine, one draw (seed 1)");
    expect([...drawn.numbers].sort()).toEqual([0, 0, 1]);
    expect(drawn.answer).toBe(["blue", "22", "pickup"][drawn.numbers.indexOf(1)]);
    for (const [scoring, weights] of [
      ["cosine, softmax at 0.05", soft],
      ["scaled dot, softmax", scaled],
    ] as const) {
      const share = Math.round(100 * weights[1]!);
      const word = nearest([
        ["blue", weights[0]!],
        ["pickup", weights[2]!],
      ]);
      expect(lineOf(stdout, scoring).answer).toBe(`${100 - share} % ${word}, ${share} % 22`);
    }
    expect(
      nearest([
        ["blue", soft[0]!],
        ["pickup", soft[2]!],
      ]),
    ).toBe("pickup");
    expect(stdout).not.toContain(String.fromCharCode(27));
  });

  it("gives each of several queries its own answer, and draws them", () => {
    const { status, stdout } = run("years", "hue", "kind");
    expect(status).toBe(0);
    const hard = tableLines(stdout).filter(([name]) => name === "cosine, hard");
    expect(hard.map((line) => line.at(-1))).toEqual(["22", "blue", "pickup"]);
    expect(stdout).toMatch(/\n *years +· *100 +·\n/);
    expect(stdout).toMatch(/\n *kind +· +· *100\n/);
  });

  it("is sharper at a lower temperature", () => {
    const { stdout } = run("--temperature", "0.01");
    const cosines = KEYS.map((key) => cosineOf(vector("species"), vector(key)));
    expectPrinted(lineOf(stdout, "cosine, softmax at 0.01").numbers, softmaxOf(cosines, 0.01));
  });
});

describe("another dictionary", () => {
  it("of numbers answers with their weighted mean", () => {
    const entries = { dog: 3, horse: 20.5, car: -1500 };
    const args = Object.entries(entries).flatMap(([key, value]) => ["--entry", `${key}=${value}`]);
    const { status, stdout } = run("kitten", "--temperature", "0.2", ...args);
    expect(status).toBe(0);
    const cosines = Object.keys(entries).map((key) => cosineOf(vector("kitten"), vector(key)));
    const exact = dotOf(softmaxOf(cosines, 0.2), Object.values(entries));
    const { answer } = lineOf(stdout, "cosine, softmax at 0.2");
    expect(Math.abs(Number(answer) / exact - 1)).toBeLessThan(0.001);
    expect(lineOf(stdout, "cosine, hard").answer).toBe("3");
  });

  it("of words mixes their vectors and says the nearest word", () => {
    const { status, stdout } = run("kitten", "--temperature", "1", "--entry", "dog=red", "--entry", "cow=yellow");
    expect(status).toBe(0);
    const weights = softmaxOf(["dog", "cow"].map((key) => cosineOf(vector("kitten"), vector(key))));
    const { numbers, answer } = lineOf(stdout, "cosine, softmax at 1");
    expectPrinted(numbers, weights);
    expect(answer).toBe(
      nearest([
        ["red", weights[0]!],
        ["yellow", weights[1]!],
      ]),
    );
  });

  it("of one entry always answers with it", () => {
    const { status, stdout } = run("--entry", "car=0");
    expect(status).toBe(0);
    for (const line of tableLines(stdout).slice(2)) expect(line.slice(1)).toEqual(["1.000", "0"]);
  });
});

describe("the recorded vectors", () => {
  it("are those of the words, each once, under the model's licence", () => {
    const subjects = JSON.parse(readFileSync(new URL("words.json", DATA), "utf8")) as Record<string, string>;
    expect(Object.values(subjects).join(" ")).toBe(words.join(" "));
    expect(new Set(words).size).toBe(600);
    expect(new Set(ids).size).toBe(600);
    expect(recorded).toMatchObject({ shape: [600, 384], dtype: "float16" });
    expect(file.metadata.get("license")).toBe("Apache-2.0");
    const sentence =
      /token embeddings of sentence-transformers\/all-MiniLM-L6-v2, rounded to f16, taken for these words/i;
    expect(file.metadata.get("source")).toMatch(sentence);
    expect(readFileSync(new URL("README.md", DATA), "utf8")).toMatch(sentence);
    expect(readFileSync(new URL("LICENSE", DATA), "utf8")).toContain("Apache License");
  });

  it("have the bits they were taken with", () => {
    const hash = createHash("sha256").update(bytes).digest("hex");
    expect(hash).toBe("a4c0a33913f037d5129a0ff6d009fe1c4591ac059fceb418fae5150d6800ffee");
  });

  it.skipIf(!existsSync(MODEL))("equal the model's rows bit for bit (where the model's file is)", () => {
    const { tensors } = readSafetensors(readFileSync(MODEL));
    const embeddings = tensors.get("embeddings.word_embeddings.weight")!.data as Uint16Array;
    for (const [row, id] of ids.entries()) {
      const source = embeddings.subarray(id * dim, (id + 1) * dim);
      expect(recorded.data.subarray(row * dim, (row + 1) * dim), words[row]).toEqual(source);
    }
  });

  it.skipIf(!existsSync(VOCABULARY))("are those of these tokens (where the model's vocabulary is)", () => {
    const vocabulary = readFileSync(VOCABULARY, "utf8").split("\n");
    expect(Array.from(ids, (id) => vocabulary[id])).toEqual(words);
  });
});

describe("what makes no sense", () => {
  const cases: [string, string[], RegExp][] = [
    ["an unknown option", ["--entrie", "a=b"], /^Unknown option '--entrie'/],
    ["a word that is not recorded", ["xylophone"], /^"xylophone" is not among the 600 words/],
    ["a key that is not recorded", ["--entry", "xylophone=1"], /^"xylophone" is not among/],
    ["a value that is not recorded", ["--entry", "color=mauve"], /^"mauve" is not among/],
    ["an entry without a value", ["--entry", "color"], /^--entry is KEY=VALUE/],
    ["an entry given twice", ["--entry", "color=red", "--entry", "color=blue"], /given twice/],
    ["a number that is none", ["--entry", "color=1x"], /no number of float32/],
    ["a number that float32 has not", ["--entry", "color=1e40"], /no number of float32/],
    ["a temperature of 0", ["--temperature", "0"], /^--temperature/],
    ["a seed that is no whole number", ["--seed", "0.5"], /^--seed/],
  ];
  it.each(cases)("%s: one line and exit code 2", (_, args, message) => {
    expectRefusal(run(...args), message);
  });

  it("--help says what there is, --words the words", () => {
    const help = run("--help");
    expect(help.status).toBe(0);
    for (const option of ["--entry", "--temperature", "--seed", "--words", "exit code"]) {
      expect(help.stdout).toContain(option);
    }
    const list = run("--words");
    expect(list.status).toBe(0);
    expect(list.stdout).toMatch(/^colours: color colour red/);
    expect(list.stdout).toMatch(/^kinds: species type/m);
  });
});
