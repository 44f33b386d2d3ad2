import { type HeatmapOptions, heatmap } from "saccade/viz";
import { describe, expect, it } from "vitest";
import { type Element, elements, parseXml, textOf } from "./xml.ts";

const tokens = ["[CLS]", "the", "cat", "sat", "[SEP]"];
const weights = { data: Float32Array.from({ length: 25 }, (_, i) => ((i * 7) % 25) / 50), shape: [5, 5] };
const labelled: HeatmapOptions = { rowLabels: tokens, columnLabels: tokens, title: "A head", subtitle: "of a model" };

const ESC = String.fromCharCode(27);
const colour = new RegExp(`${ESC}\\[[0-9;]*m`, "g");

function cellsOf(svg: Element): Element[] {
  return elements(svg, "rect").filter((rect) => rect.children.some((child) => child.name === "title"));
}

describe("svg", () => {
  it("is one well-formed document that says in words what it shows", () => {
    const svg = parseXml(heatmap(weights, labelled).svg());
    expect(svg.name).toBe("svg");
    expect([svg.attributes.get("xmlns"), svg.attributes.get("role")]).toEqual(["http://www.w3.org/2000/svg", "img"]);
    const [title, description] = svg.children.slice(0, 2) as [Element, Element];
    expect([title.name, textOf(title)]).toEqual(["title", "A head"]);
    expect(description.name).toBe("desc");
    // 18 * 7 mod 25 = 1 ... the largest share, 24 / 50, is at element 7: row 1, column 2.
    expect(textOf(description)).toContain("The largest value is 0.48, from the to cat.");
    expect(elements(svg, "*").some((element) => element.attributes.has("id"))).toBe(false);
  });

  it("draws a cell for every visible value, named by its labels, the darker the larger", () => {
    const cells = cellsOf(parseXml(heatmap(weights, labelled).svg()));
    expect(cells).toHaveLength(24); // one value is 0 and left to the background
    const seen = cells.map((cell) => {
      const name = textOf(cell.children[0]!);
      const [red, green, blue] = cell.attributes
        .get("fill")!
        .match(/[0-9a-f]{2}/g)!
        .map((byte) => Number.parseInt(byte, 16));
      return { name, value: Number(name.split(": ")[1]), light: 0.2126 * red! + 0.7152 * green! + 0.0722 * blue! };
    });
    expect(seen.map(({ name }) => name)).toContain("the → cat: 0.48");
    const sorted = [...seen].sort((a, b) => a.value - b.value);
    for (let i = 1; i < sorted.length; i++) expect(sorted[i]!.light).toBeLessThan(sorted[i - 1]!.light);
  });

  it("keeps everything inside its frame", () => {
    const long = tokens.map((token) => token.repeat(9));
    for (const options of [labelled, { rowLabels: long, columnLabels: long }, {}]) {
      const svg = parseXml(heatmap(weights, options).svg());
      const [width, height] = [Number(svg.attributes.get("width")), Number(svg.attributes.get("height"))];
      for (const rect of elements(svg, "rect")) {
        const [x, y] = [Number(rect.attributes.get("x") ?? 0), Number(rect.attributes.get("y") ?? 0)];
        expect(x).toBeGreaterThanOrEqual(0);
        expect(x + Number(rect.attributes.get("width"))).toBeLessThanOrEqual(width);
        expect(y + Number(rect.attributes.get("height"))).toBeLessThanOrEqual(height);
      }
    }
  });

  it("carries any label unchanged, or a visible stand-in where XML has no place for it", () => {
    const odd = ["<script>", `"&'`, "注意", "a\u0000\u001b[31m", "\ud800\ufffe\u202e"];
    const svg = parseXml(heatmap(weights, { rowLabels: odd, columnLabels: odd, title: "]]>" }).svg());
    const texts = elements(svg, "text").map(textOf);
    for (const label of ["<script>", `"&'`, "注意", "a\u2400\u241b[31m", "\ufffd\ufffd\ufffd"]) {
      expect(texts.filter((text) => text === label)).toHaveLength(2);
    }
  });

  it("draws values that are no numbers in grey and outlines marks", () => {
    const data = weights.data.slice();
    data.set([Number.NaN, Number.NEGATIVE_INFINITY]);
    const svg = parseXml(heatmap({ data, shape: [5, 5] }, { marks: [{ row: 1, column: 2 }] }).svg());
    const cells = new Map(cellsOf(svg).map((cell) => [textOf(cell.children[0]!), cell.attributes.get("fill")]));
    expect(cells.get("0 → 0: NaN")).toBeDefined();
    expect(cells.get("0 → 0: NaN")).toBe(cells.get("0 → 1: -Infinity"));
    expect(elements(svg, "rect").filter((rect) => rect.attributes.get("stroke-width") === "2.5")).toHaveLength(1);
  });

  it.each([
    [0, 0],
    [0, 3],
    [3, 0],
    [1, 1],
    [1, 200],
    [200, 1],
  ])("draws %i x %i cells", (rows, columns) => {
    const svg = parseXml(heatmap({ data: new Float32Array(rows * columns).fill(0.5), shape: [rows, columns] }).svg());
    expect(cellsOf(svg)).toHaveLength(rows * columns);
  });
});

describe("text", () => {
  const lines = (text: string) => text.replace(/\n$/, "").split("\n");

  it("writes percentages, column labels downwards, marks by an arrow", () => {
    const data = [0.25, 0.75, 1, 0.001];
    const picture = heatmap(
      { data, shape: [2, 2] },
      { rowLabels: ["it", "was"], columnLabels: ["cat", "a"], title: "T", marks: [{ row: 0, column: 1 }] },
    );
    expect(lines(picture.text())).toEqual([
      "T",
      "",
      "    columns: key, rows: query",
      "     c",
      "     a",
      "     t  a",
      " it  25>75",
      "was 100  ·",
      "    in percent; · is less than half of one",
    ]);
  });

  it("has the same letters in colour, and none of its own escapes without", () => {
    const picture = heatmap(weights, { rowLabels: tokens, columnLabels: tokens });
    expect(picture.text()).not.toContain(ESC);
    for (const color of ["truecolor", "256"] as const) {
      const coloured = picture.text({ color });
      expect(coloured).toContain(color === "256" ? "48;5;" : "48;2;");
      const rows = (text: string) => lines(text.replace(colour, "").replaceAll("·", " ")).slice(0, -1);
      expect(rows(coloured).map((line) => line.trimEnd())).toEqual(rows(picture.text()).map((line) => line.trimEnd()));
      // A colour never runs on past its line.
      for (const line of lines(coloured)) expect(line.includes("48;") && !line.includes(`${ESC}[0m`)).toBe(false);
    }
  });

  it("never lets a label write to the terminal", () => {
    const evil = [`${ESC}[2J`, "\r\n", "\u009b31m", "\u202eabc", "\u0007"];
    const text = heatmap(weights, { rowLabels: evil, columnLabels: evil, title: `${ESC}]0;x\u0007` }).text();
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    expect(lines(text)).toHaveLength(2 + 1 + 4 + 5 + 1);
  });

  it("shrinks its cells to the width, then says what it left out", () => {
    const wide = heatmap({ data: new Float32Array(80 * 2).fill(0.5), shape: [2, 80] });
    const longest = (width: number) =>
      Math.max(
        ...lines(wide.text({ width }))
          .filter((line) => /^\d/.test(line))
          .map((line) => line.length),
      );
    expect(longest(250)).toBe(2 + 3 * 80);
    expect(longest(170)).toBe(2 + 2 * 80);
    expect(longest(100)).toBe(2 + 80);
    expect(longest(40)).toBe(40);
    expect(wide.text({ width: 40 })).toContain("… and 42 more columns");
    expect(wide.text({ width: 100 })).not.toContain("more");
  });

  it("gives wide characters two columns", () => {
    const labels = ["注意", "ab", "👩‍👩‍👧", "e\u0301e\u0301", "ｱｲ"];
    const rows = lines(heatmap(weights, { rowLabels: labels }).text()).slice(2, 7);
    const cells = rows.map((row) => row.slice(-15));
    // Every label takes 4 terminal columns with its padding: the strings differ in length only by what the terminal joins.
    expect(rows.map((row) => row.slice(0, -16))).toEqual(["注意", "  ab", "  👩‍👩‍👧", "  e\u0301e\u0301", "  ｱｲ"]);
    expect(new Set(cells.map((cell) => cell.length))).toEqual(new Set([15]));
  });
});

describe("arguments", () => {
  const four = { data: new Float32Array(2 * 3 * 4 * 4).map((_, i) => i), shape: [2, 3, 4, 4] };

  it("takes one matrix out of leading axes, and as many rows and columns as there are labels", () => {
    const svg = parseXml(heatmap(four, { index: [1, 2], rowLabels: ["a"], columnLabels: ["x", "y"] }).svg());
    expect(cellsOf(svg).map((cell) => textOf(cell.children[0]!))).toEqual(["a → x: 80", "a → y: 81"]);
  });

  it("takes the range that it is given", () => {
    const low = heatmap({ data: [0.5], shape: [1, 1] }, { range: [0.5, 1] }).svg();
    const high = heatmap({ data: [0.5], shape: [1, 1] }, { range: [0, 0.5] }).svg();
    expect(cellsOf(parseXml(low))).toHaveLength(0);
    expect(cellsOf(parseXml(high))).toHaveLength(1);
  });

  const wrong: [string, unknown, unknown, string, RegExp][] = [
    ["no weights", null, {}, "ERR_SACCADE_ARGUMENT", /data and shape/],
    ["a list", [[1]], {}, "ERR_SACCADE_ARGUMENT", /data and shape/],
    ["raw half floats", { data: new Uint16Array(1), shape: [1, 1], dtype: "float16" }, {}, "ERR_SACCADE_DTYPE", /raw/],
    ["a vector", { data: [1], shape: [1] }, {}, "ERR_SACCADE_SHAPE", /rank 1/],
    ["a shape that disagrees", { data: [1], shape: [1, 2] }, {}, "ERR_SACCADE_SHAPE", /has 1 elements/],
    ["a negative extent", { data: [], shape: [-1, 0] }, {}, "ERR_SACCADE_SHAPE", /whole numbers/],
    ["no index for leading axes", four, {}, "ERR_SACCADE_SHAPE", /2 leading axes/],
    ["an index beyond its axis", four, { index: [1, 3] }, "ERR_SACCADE_RANGE", /index\[1\] is 3/],
    ["more labels than rows", weights, { rowLabels: Array(6).fill("a") }, "ERR_SACCADE_SHAPE", /6 labels for 5/],
    ["labels that are no text", weights, { columnLabels: [1] }, "ERR_SACCADE_OPTION", /columnLabels/],
    ["a mark outside", weights, { marks: [{ row: 0, column: 5 }] }, "ERR_SACCADE_RANGE", /outside/],
    ["a range the wrong way round", weights, { range: [1, 0] }, "ERR_SACCADE_OPTION", /range/],
    ["a typo", weights, { rowLabel: tokens }, "ERR_SACCADE_OPTION", /unknown option "rowLabel"/],
    ["a title that is no text", weights, { title: 1 }, "ERR_SACCADE_OPTION", /title/],
  ];
  it.each(wrong)("refuses %s", (_, given, options, code, message) => {
    expect(() => heatmap(given as never, options as never)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });

  it.each([{ color: "rainbow" }, { width: 0 }, { width: Number.NaN }, { colour: "none" }])(
    "text refuses %o",
    (options) => {
      expect(() => heatmap(weights).text(options as never)).toThrow(
        expect.objectContaining({ code: "ERR_SACCADE_OPTION" }),
      );
    },
  );
});
