/** A record as a picture: what share of its limit each case reaches, and how much longer other libraries take. */
import { escaped } from "../../ts/viz/svg.ts";
import { type Line, ROOF } from "./line.ts";

/** One colour a series, told apart on white and on black, by shape too. */
const SERIES = [
  { by: "strict", words: "Saccade strict", color: "#2f7ed8", shape: "circle" },
  { by: "fast", words: "Saccade fast", color: "#e8590c", shape: "circle" },
  { by: "onnxruntime-web", words: "onnxruntime-web", color: "#1a9c6b", shape: "square" },
  { by: "tfjs-wasm", words: "tfjs-wasm", color: "#b8860b", shape: "diamond" },
  { by: "jax-js", words: "jax-js", color: "#a05cd6", shape: "triangle" },
  { by: "naive loop", words: "naive loop", color: "#8a8f98", shape: "cross" },
  { by: "onnxruntime-node", words: "onnxruntime-node (native)", color: "#d6336c", shape: "bar" },
] as const;

type Series = (typeof SERIES)[number];

const ROW = 22;
const MARGIN = 16;
const LABEL = 330;
const PANEL = { shares: 190, times: 330 };
const GAP = 36;
const HEAD = 104;
/** The grey of both themes: 4.5 to 1 and more against white and against GitHub's dark ground. */
const INK = "#7d8590";
const FONT = "system-ui, 'Segoe UI', Roboto, 'Noto Sans', Arial, sans-serif";
/** Times as long as our strict build, from left to right. */
const TICKS = [0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];

const round = (value: number): number => Math.round(value * 10) / 10;

/** Cases that other libraries did too, in the order of the record. */
function casesOf(lines: readonly Line[]): string[] {
  const compared = lines.filter(({ case: name, by }) => name !== ROOF && by !== "strict" && by !== "fast");
  return [...new Set(compared.map(({ case: name }) => name))];
}

/** The fastest of a library's rows for a case: it may have several. Keys in the model do not count: none can be added. */
function timesOf(lines: readonly Line[], { by }: Series): number | null {
  const times = lines
    .filter((line) => line.by === by || (line.by.startsWith(`${by} (`) && !line.by.endsWith("(constants)")))
    .flatMap(({ times_strict }) => (times_strict === "" ? [] : Number(times_strict)));
  return times.length === 0 ? null : Math.min(...times);
}

/** The name of the plot of an engine's last run: one that stays, so that pages can show it. */
export const plotNameOf = ({ engine }: Pick<Line, "engine">): string => `${engine.split(" ")[0]}.svg`;

/** The plot of what was measured on one thread, as an SVG document that stands on any ground. */
export function plotOf(all: readonly Line[]): string {
  const lines = all.filter(({ threads }) => threads === "1");
  const names = casesOf(lines);
  const { date = "", engine = "", machine = "" } = lines[0] ?? {};
  const width = MARGIN * 2 + LABEL + PANEL.shares + GAP + PANEL.times;
  const height = HEAD + names.length * ROW + 44;
  const shares = MARGIN + LABEL;
  const times = shares + PANEL.shares + GAP;
  const versions = [
    ...new Set(lines.filter(({ version }) => version).map((l) => `${l.by.replace(/ \(.*/, "")} ${l.version}`)),
  ];
  const title = `Speed of Saccade and of other libraries: ${engine}, ${machine}, one thread, ${date}`;
  const body = names.flatMap((name, i) => {
    const y = HEAD + (i + 0.5) * ROW;
    const rows = lines.filter((line) => line.case === name);
    return caseLines(rows, y, shares, times);
  });
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="title description" width="${width}" height="${height}" ` +
      `viewBox="0 0 ${width} ${height}" font-family="${FONT}" font-size="12" fill="${INK}">`,
    `<title id="title">${escaped(title)}</title>`,
    `<desc id="description">${escaped(describe(lines, names))}</desc>`,
    `<text x="${MARGIN}" y="24" font-size="15" font-weight="600">${escaped(`${engine}, ${machine}, one thread, ${date}`)}</text>`,
    `<text x="${MARGIN}" y="42" font-size="11">${escaped(versions.join(", "))}</text>`,
    ...legend(),
    `<text x="${shares}" y="${HEAD - 20}" font-weight="600">share of the machine's limit</text>`,
    `<text x="${times}" y="${HEAD - 20}" font-weight="600">time over that of Saccade strict</text>`,
    ...axes(shares, times, HEAD, height - 40),
    ...body,
    "</svg>",
  ].join("\n")}\n`;
}

function describe(lines: readonly Line[], names: readonly string[]): string {
  const parts = SERIES.slice(2).flatMap((series) => {
    const all = names.flatMap(
      (name) =>
        timesOf(
          lines.filter((line) => line.case === name),
          series,
        ) ?? [],
    );
    if (all.length === 0) return [];
    const sorted = all.sort((a, b) => a - b);
    return `${series.words} takes ${sorted[0]!.toPrecision(2)} to ${sorted.at(-1)!.toPrecision(2)} times as long`;
  });
  return `${names.length} cases. Against Saccade strict, ${parts.join("; ")}.`;
}

function legend(): string[] {
  let x = MARGIN;
  return SERIES.flatMap((series) => {
    const drawn = [mark(series, x + 5, 60, ""), `<text x="${round(x + 14)}" y="64">${series.words}</text>`];
    x += 34 + series.words.length * 6.8;
    return drawn;
  });
}

const shareX = (share: number) => share * PANEL.shares;
const timeX = (times: number) => {
  const [low, high] = [Math.log(TICKS[0]!), Math.log(TICKS.at(-1)!)];
  const place = (Math.log(times) - low) / (high - low);
  return Math.min(1, Math.max(0, place)) * PANEL.times;
};

function axes(shares: number, times: number, top: number, bottom: number): string[] {
  const line = (x: number, strong: boolean) =>
    `<line x1="${round(x)}" x2="${round(x)}" y1="${top - 4}" y2="${bottom}" stroke="${INK}" stroke-opacity="${strong ? 0.9 : 0.25}"/>`;
  const label = (x: number, text: string) =>
    `<text x="${round(x)}" y="${bottom + 16}" text-anchor="middle">${text}</text>`;
  return [
    ...[0, 0.25, 0.5, 0.75, 1].flatMap((share) => [
      line(shares + shareX(share), share === 1),
      label(shares + shareX(share), String(share)),
    ]),
    ...TICKS.flatMap((tick) => [line(times + timeX(tick), tick === 1), label(times + timeX(tick), `${tick}x`)]),
    `<text x="${round(times + timeX(1) + 6)}" y="${bottom + 34}">other libraries slower</text>`,
    `<text x="${round(times + timeX(1) - 6)}" y="${bottom + 34}" text-anchor="end">faster</text>`,
  ];
}

/** The words of a case, and its marks in both panels. */
function caseLines(rows: readonly Line[], y: number, shares: number, times: number): string[] {
  const words = rows[0]!.what;
  const drawn = [`<text x="${shares - 12}" y="${round(y + 4)}" text-anchor="end">${escaped(words)}</text>`];
  for (const series of SERIES) {
    const own = rows.find(({ by }) => by === series.by);
    if (own?.share_of_limit) {
      const tip = `${series.words}: ${own.share_of_limit} of the ${own.limit} limit, ${own.median_ms} ms`;
      drawn.push(mark(series, shares + shareX(Number(own.share_of_limit)), y, tip));
    }
    const over = series.by === "strict" ? null : timesOf(rows, series);
    if (over !== null)
      drawn.push(mark(series, times + timeX(over), y, `${series.words}: ${over.toPrecision(3)} times as long`));
  }
  return drawn;
}

/** A mark with what it stands for as its tooltip. */
function mark({ color, shape }: Series, x: number, y: number, tip: string): string {
  const [a, b] = [round(x), round(y)];
  const title = tip && `<title>${escaped(tip)}</title>`;
  const filled = (name: string, attributes: string) => `<${name} ${attributes} fill="${color}">${title}</${name}>`;
  const drawn = (path: string) => `<path d="${path}" stroke="${color}" stroke-width="2" fill="none">${title}</path>`;
  switch (shape) {
    case "circle":
      return filled("circle", `cx="${a}" cy="${b}" r="5"`);
    case "square":
      return filled("rect", `x="${round(x - 4.5)}" y="${round(y - 4.5)}" width="9" height="9"`);
    case "diamond":
      return filled("path", `d="M${a} ${round(y - 6)}l6 6l-6 6l-6-6z"`);
    case "triangle":
      return filled("path", `d="M${a} ${round(y - 5.5)}l5.5 10h-11z"`);
    case "cross":
      return drawn(`M${round(x - 4)} ${round(y - 4)}l8 8m0-8l-8 8`);
    case "bar":
      return drawn(`M${a} ${round(y - 7)}v14`);
  }
}
