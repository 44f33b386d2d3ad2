/**
 * Values as they arrive from the other side.
 */

import type { Encoded, Item, WireNode } from "./wire.ts";

/** A node that only one side can make something of, its own items decoded. */
export type Special = Extract<WireNode, { kind: "mask" | "score" | "handle" }>;

/** Makes something of it; `item` decodes what it links to. */
export type SpecialDecoder = (node: Special, item: (item: Item) => unknown) => unknown;

type ArrayConstructor = new (buffer: ArrayBuffer, byteOffset?: number, length?: number) => ArrayBufferView;

/** Decodes what `encode` made; sharing and cycles are as they were. */
export function decode({ root, nodes, buffers }: Encoded, special: SpecialDecoder): unknown {
  const made = new Map<number, unknown>();
  const item = (given: Item): unknown => {
    if (typeof given !== "object" || given === null) return given;
    const { at } = given;
    if (!made.has(at)) make(at, nodes[at]!);
    return made.get(at);
  };
  const make = (at: number, node: WireNode): void => {
    switch (node.kind) {
      case "list": {
        const list: unknown[] = [];
        made.set(at, list);
        for (const entry of node.items) list.push(item(entry));
        break;
      }
      case "record": {
        const record = {};
        made.set(at, record);
        node.names.forEach((name, index) => {
          const value = item(node.values[index]);
          // By definition, not assignment: "__proto__" is a name like any other.
          Object.defineProperty(record, name, { value, writable: true, enumerable: true, configurable: true });
        });
        break;
      }
      case "map": {
        const map = new Map<string, unknown>();
        made.set(at, map);
        node.names.forEach((name, index) => {
          map.set(name, item(node.values[index]));
        });
        break;
      }
      case "view":
        made.set(at, new (constructorOf(node.type))(buffers[node.buffer]!, node.byteOffset, node.length));
        break;
      case "buffer":
        made.set(at, buffers[node.buffer]);
        break;
      case "detached":
        made.set(at, detached(constructorOf(node.type)));
        break;
      case "inert":
        made.set(at, INERT[node.type]());
        break;
      default:
        made.set(at, special(node, item));
    }
  };
  return item(root);
}

const INERT = { function: () => () => undefined, symbol: () => Symbol(), object: () => ({}) };

function constructorOf(type: string): ArrayConstructor {
  return (globalThis as unknown as Record<string, ArrayConstructor>)[type]!;
}

function detached(of: ArrayConstructor): ArrayBufferView {
  const array = new of(new ArrayBuffer(8));
  structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] });
  return array;
}
