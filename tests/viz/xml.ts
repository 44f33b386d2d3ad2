/**
 * A strict reader for the small part of XML that our pictures use. It throws on whatever a browser's XML parser would
 * refuse: unbalanced tags, bare `<` or `&`, repeated attributes, characters that XML does not have.
 */

export interface Element {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly Element[];
  readonly text: string;
}

const TOKEN = /<(\/?)([a-z]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>|([^<]+)/gy;
const ENTITY = /&(?:#(\d+)|(amp|lt|gt|quot|apos));|&/g;
const NAMED: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Surrogate}/u;

function decoded(text: string): string {
  return text.replace(ENTITY, (entity, code?: string, name?: string) => {
    if (entity === "&") throw new SyntaxError(`a bare & in ${JSON.stringify(text)}`);
    return code === undefined ? NAMED[name!]! : String.fromCodePoint(Number(code));
  });
}

export function parseXml(source: string): Element {
  if (FORBIDDEN.test(source)) throw new SyntaxError("a character that XML does not have");
  const root = { name: "", attributes: new Map<string, string>(), children: [] as Element[], text: "" };
  const open = [root];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < source.length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(source);
    if (match === null) throw new SyntaxError(`not XML: ${JSON.stringify(source.slice(at, at + 60))}`);
    const [, closing, name = "", attributes = "", empty, text] = match;
    const current = open.at(-1)!;
    if (text !== undefined) current.text += decoded(text);
    else if (closing) {
      if (open.pop()?.name !== name) throw new SyntaxError(`</${name}> closes nothing`);
    } else {
      const element = { name, attributes: attributesOf(attributes), children: [], text: "" };
      current.children.push(element);
      if (!empty) open.push(element);
    }
  }
  if (open.length !== 1 || root.children.length !== 1 || root.text.trim() !== "")
    throw new SyntaxError("not one element");
  return root.children[0]!;
}

function attributesOf(source: string): Map<string, string> {
  const attributes = new Map<string, string>();
  for (const [, name, value] of source.matchAll(/([\w:-]+)="([^"]*)"/g)) {
    if (attributes.has(name!)) throw new SyntaxError(`attribute ${name} twice`);
    attributes.set(name!, decoded(value!));
  }
  return attributes;
}

/** All elements of a name (`*` = any) below one, in the order of the document. */
export function elements(element: Element, name: string): Element[] {
  return element.children.flatMap((child) => [
    ...(name === "*" || child.name === name ? [child] : []),
    ...elements(child, name),
  ]);
}

export function textOf(element: Element): string {
  return element.text + element.children.map(textOf).join("");
}
