/**
 * Labels are anybody's text: tokens in every script, control characters, half of an emoji. This page makes them safe
 * to write and says how much room they take.
 */

/** Characters that reorder the text around them: in a terminal or a picture they could make a label lie. */
const REORDERING = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
const CONTROL = /[\u0000-\u001f\u007f]/g;
/** Not allowed in XML, or without a meaning of their own. */
const UNFIT = /[\u0080-\u009f\ufffe\uffff\u2028\u2029]|\p{Surrogate}/gu;

/** The label with every control character replaced by its picture, and what cannot be shown by U+FFFD. */
export function plain(text: string): string {
  return text
    .replace(CONTROL, (c) => String.fromCharCode(c === "\u007f" ? 0x2421 : 0x2400 + c.charCodeAt(0)))
    .replace(UNFIT, "\ufffd")
    .replace(REORDERING, "\ufffd");
}

const NARROW_FORM = /^[\uff61-\uffdc\uffe8-\uffee]/;
const WIDE =
  /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Bopomofo}\p{Script=Yi}\p{Emoji_Presentation}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]/u;
const INVISIBLE = /^[\p{Mark}\p{Format}]+$/u;

const segmenter = typeof Intl.Segmenter === "function" ? new Intl.Segmenter() : undefined;

/** What a reader takes for single characters. */
export function graphemes(text: string): string[] {
  return segmenter === undefined ? [...text] : Array.from(segmenter.segment(text), ({ segment }) => segment);
}

/** Terminal columns that a grapheme takes: 2 for East Asian wide characters and emoji, 0 for a lone mark. */
export function columnsOf(grapheme: string): 0 | 1 | 2 {
  if (INVISIBLE.test(grapheme)) return 0;
  if (NARROW_FORM.test(grapheme)) return 1;
  return WIDE.test(grapheme) || grapheme.includes("\ufe0f") ? 2 : 1;
}

/** Terminal columns of a whole text. */
export function terminalWidth(text: string): number {
  return graphemes(text).reduce((sum, grapheme) => sum + columnsOf(grapheme), 0);
}

/** The text cut to so many terminal columns, with an ellipsis if anything is missing. */
export function fitted(text: string, columns: number): string {
  if (terminalWidth(text) <= columns) return text;
  let kept = "";
  let width = 0;
  for (const grapheme of graphemes(text)) {
    width += columnsOf(grapheme);
    if (width > columns - 1) break;
    kept += grapheme;
  }
  return `${kept}…`;
}

/**
 * About how many ems a text takes in a proportional sans-serif font. There is no font to ask, so this errs on the wide
 * side: room left over is better than letters cut off.
 */
export function ems(text: string): number {
  return graphemes(text).reduce((sum, grapheme) => sum + emsOf(grapheme), 0);
}

function emsOf(grapheme: string): number {
  const columns = columnsOf(grapheme);
  if (columns !== 1) return columns / 2;
  if (/^[iljftrI.,:;'|!()[\]`1-]/.test(grapheme)) return 0.38;
  if (/^[mwMW@%…—]/.test(grapheme)) return 0.98;
  return /^[\p{Uppercase}#&+<=>~]/u.test(grapheme) ? 0.72 : 0.6;
}

/** A value in three digits: 0.659, 12.3, 4.1e-7. */
export function number(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const rounded = Number(value.toPrecision(3));
  return Math.abs(rounded) >= 1e-4 && Math.abs(rounded) < 1e5
    ? String(rounded)
    : rounded === 0
      ? "0"
      : rounded.toExponential();
}
