/** A module's functions as text, and the SIMD instructions of their inner loops. */
import binaryen from "binaryen";

/** Each function's text under its name. */
export function functionsOf(bytes: Uint8Array): Map<string, string> {
  const module = binaryen.readBinary(bytes);
  const text = module.emitText();
  module.dispose();
  const functions = new Map<string, string>();
  for (const part of text.split(/\n(?= \(func )/).slice(1)) {
    const name = /^ \(func \$("[^"]*"|[^\s)]+)/.exec(part)?.[1] ?? "";
    functions.set(name, part);
  }
  return functions;
}

/** The text from the parenthesis at `start` to the one that closes it. */
function expressionAt(text: string, start: number): string {
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    if (text[i] === "(") depth++;
    if (text[i] === ")" && --depth === 0) return text.slice(start, i + 1);
  }
  throw new Error("unbalanced text");
}

/** Loops that contain no other loop. */
export function innerLoops(text: string): string[] {
  return Array.from(text.matchAll(/\(loop\b/g), ({ index }) => expressionAt(text, index)).filter(
    (loop) => loop.indexOf("(loop", 1) < 0,
  );
}

/** How often each vector instruction occurs. */
export function vectorInstructions(text: string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const [, name] of text.matchAll(/\(((?:v128|[if]\d+x\d+)\.[a-z0-9_]+)/g))
    counts[name!] = (counts[name!] ?? 0) + 1;
  return counts;
}
