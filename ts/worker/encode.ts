/**
 * Values on their way to the other side: the arguments of a call, and its result. What functions of this package take and
 * give is data, masks, scores, tensors and caches; of anything else only so much is sent that the function refuses it in
 * the words it would use here.
 */

import { arrayFacts, byteLengthOf, typedArrayKind } from "../layout/typed-array.ts";
import { RuleHandle } from "../mask/rule.ts";
import { ScoreHandle } from "../pooling/score-spec.ts";
import { Buffers, type Passing } from "./buffers.ts";
import type { Encoded, Item, WireNode } from "./wire.ts";

/** No argument is nested deeper than this; what is, no function will read. */
const DEEPEST = 8;

const TENSOR_FIELDS = ["data", "shape", "dtype", "strides", "offset"];

/** Encodes what only one side knows: its handles. Undefined for everything else. */
export type HandleEncoder = (value: object, path: string) => WireNode | undefined;

/**
 * Encodes values as one list, each with the name that messages use for it. Properties are read once.
 *
 * @param name - the call, for messages
 * @throws whatever a getter of the caller throws; what `handles` throws
 */
export function encode(
  values: readonly (readonly [path: string, value: unknown])[],
  handles: HandleEncoder,
  passing: Passing,
  name: string,
): Encoded {
  const encoder = new Encoder(handles, name);
  const items = values.map(([path, value]) => encoder.item(value, path, 0));
  return encoder.finish(items, passing);
}

class Encoder {
  readonly #handles: HandleEncoder;
  readonly #name: string;
  readonly #nodes: WireNode[] = [];
  readonly #links = new Map<unknown, { readonly at: number }>();
  readonly #buffers = new Buffers();

  constructor(handles: HandleEncoder, name: string) {
    this.#handles = handles;
    this.#name = name;
  }

  item(value: unknown, path: string, depth: number): Item {
    if (typeof value === "function") return this.#link(value, { kind: "inert", type: "function" });
    if (typeof value === "symbol") return this.#link(value, { kind: "inert", type: "symbol" });
    if (typeof value !== "object" || value === null) return value as Item;
    const known = this.#links.get(value);
    if (known !== undefined) return known;
    const handle = this.#handles(value, path);
    if (handle !== undefined) return this.#link(value, handle);
    const leaf = this.#bytes(value);
    if (leaf !== undefined) return leaf;
    if (depth >= DEEPEST) return this.#link(value, { kind: "inert", type: "object" });
    if (Array.isArray(value)) {
      const node: WireNode = { kind: "list", items: [] };
      const link = this.#link(value, node);
      node.items = Array.from(value, (entry, index) => this.item(entry, `${path}[${index}]`, depth + 1));
      return link;
    }
    if (value instanceof Map) return this.#map(value, path, depth);
    return this.#mask(value) ?? this.#score(value) ?? this.#record(value, path, depth);
  }

  finish(items: readonly Item[], passing: Passing): Encoded {
    const root = this.#link(items, { kind: "list", items });
    return { root, nodes: this.#nodes, buffers: this.#buffers.finish(passing) };
  }

  #link(value: unknown, node: WireNode): { readonly at: number } {
    const link = { at: this.#nodes.push(node) - 1 };
    this.#links.set(value, link);
    return link;
  }

  /** A typed array or a buffer. */
  #bytes(value: object): Item {
    const type = typedArrayKind(value);
    if (type !== undefined) {
      let facts: ReturnType<typeof arrayFacts>;
      try {
        facts = arrayFacts(value, this.#name, "");
      } catch {
        return this.#link(value, { kind: "detached", type });
      }
      const { buffer, byteOffset, length } = facts;
      const node: WireNode = { kind: "view", type, buffer: 0, byteOffset: 0, length };
      this.#buffers.add(buffer, byteOffset, byteLengthOf(value), node);
      return this.#link(value, node);
    }
    const tag = Object.prototype.toString.call(value);
    if (tag !== "[object ArrayBuffer]" && tag !== "[object SharedArrayBuffer]") return undefined;
    if (!(value instanceof ArrayBuffer || isSharedBuffer(value))) return undefined;
    const node: WireNode = { kind: "buffer", buffer: 0 };
    this.#buffers.add(value, 0, value.byteLength, node);
    return this.#link(value, node);
  }

  #mask(value: object): Item {
    const rule = RuleHandle.ruleOf(value)?.rule;
    if (rule === undefined) return undefined;
    const node: WireNode = { kind: "mask", rule: undefined };
    const link = this.#link(value, node);
    // Rules are ours, and as deep as whoever combined them made them.
    node.rule = this.item(rule, "", Number.NEGATIVE_INFINITY);
    return link;
  }

  #score(value: object): Item {
    const spec = ScoreHandle.specOf(value);
    if (spec === undefined) return undefined;
    const node: WireNode = { kind: "score", spec: undefined };
    const link = this.#link(value, node);
    node.spec = this.item(spec, "", Number.NEGATIVE_INFINITY);
    return link;
  }

  /** Tensors by name. Whatever has another key is nobody's name. */
  #map(value: ReadonlyMap<unknown, unknown>, path: string, depth: number): Item {
    const node: WireNode = { kind: "map", names: [], values: [] };
    const link = this.#link(value, node);
    const entries = [...value].filter((entry): entry is [string, unknown] => typeof entry[0] === "string");
    node.names = entries.map(([name]) => name);
    node.values = entries.map(([name, entry]) => this.item(entry, `${path}.${name}`, depth + 1));
    return link;
  }

  /** Own properties of a plain object; of another library's tensor the five that count. */
  #record(value: object, path: string, depth: number): Item {
    const node: WireNode = { kind: "record", names: [], values: [] };
    const link = this.#link(value, node);
    const prototype: unknown = Object.getPrototypeOf(value);
    const given = value as Record<string, unknown>;
    let names: readonly string[] = Object.keys(value);
    const read = new Map<string, unknown>();
    if (prototype !== Object.prototype && prototype !== null) {
      for (const name of ["data", "shape"]) read.set(name, given[name]);
      if (read.get("data") !== undefined && read.get("shape") !== undefined) names = TENSOR_FIELDS;
    }
    const values = names.map((name) => (read.has(name) ? read.get(name) : given[name]));
    node.names = names;
    node.values = values.map((entry, index) => this.item(entry, `${path}.${names[index]}`, depth + 1));
    return link;
  }
}

function isSharedBuffer(value: unknown): value is SharedArrayBuffer {
  return typeof SharedArrayBuffer === "function" && value instanceof SharedArrayBuffer;
}
