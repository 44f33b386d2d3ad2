/** The sections of a wasm module that say what it takes, gives and keeps, read from its bytes. */

export interface Limits {
  minimum: number;
  maximum?: number;
  shared: boolean;
}

export interface WasmBinary {
  /** Section ids in order; custom sections (0) by name in `customs`. */
  sections: number[];
  customs: string[];
  imports: {
    module: string;
    name: string;
    kind: "function" | "table" | "memory" | "global" | "tag";
    memory?: Limits;
  }[];
  /** Memories of the module's own. */
  memories: number;
  globals: { type: number; mutable: boolean }[];
  exports: { name: string; kind: number; index: number }[];
  hasStart: boolean;
  data: { passive: boolean; offset: number; bytes: Uint8Array }[];
}

const KINDS = ["function", "table", "memory", "global", "tag"] as const;

class Reader {
  at = 0;
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  byte(): number {
    const value = this.bytes[this.at++];
    if (value === undefined) throw new RangeError("the module ends in the middle of something");
    return value;
  }

  /** LEB128, unsigned or signed, up to 2^53. */
  number(signed = false): number {
    let result = 0;
    let scale = 1;
    for (;;) {
      const byte = this.byte();
      result += (byte & 0x7f) * scale;
      scale *= 128;
      if (byte & 0x80) continue;
      return signed && byte & 0x40 ? result - scale : result;
    }
  }

  take(length: number): Uint8Array {
    const start = this.at;
    this.at += length;
    if (this.at > this.bytes.length) throw new RangeError("the module ends in the middle of something");
    return this.bytes.subarray(start, this.at);
  }

  text(): string {
    return new TextDecoder().decode(this.take(this.number()));
  }

  list<T>(one: () => T): T[] {
    return Array.from({ length: this.number() }, one);
  }

  limits(): Limits {
    const flags = this.byte();
    const minimum = this.number();
    return { minimum, ...(flags & 1 ? { maximum: this.number() } : {}), shared: (flags & 2) !== 0 };
  }

  /** A constant expression of one instruction, as a number. */
  constant(): number {
    const opcode = this.byte();
    let value = Number.NaN;
    if (opcode === 0x41 || opcode === 0x42) value = this.number(true);
    else if (opcode === 0x23 || opcode === 0xd2) this.number();
    else if (opcode === 0x43) this.take(4);
    else if (opcode === 0x44) this.take(8);
    else if (opcode === 0xd0) this.byte();
    else throw new Error(`constant expression with opcode 0x${opcode.toString(16)}`);
    if (this.byte() !== 0x0b) throw new Error("constant expression of several instructions");
    return value;
  }
}

export function readWasm(bytes: Uint8Array): WasmBinary {
  const reader = new Reader(bytes);
  const header = Array.from(reader.take(8)).join();
  if (header !== "0,97,115,109,1,0,0,0") throw new Error(`no wasm module: it begins with ${header}`);
  const result: WasmBinary = {
    sections: [],
    customs: [],
    imports: [],
    memories: 0,
    globals: [],
    exports: [],
    hasStart: false,
    data: [],
  };
  while (reader.at < bytes.length) {
    const id = reader.byte();
    const length = reader.number();
    readSection(id, new Reader(reader.take(length)), result);
    result.sections.push(id);
  }
  return result;
}

function readSection(id: number, reader: Reader, result: WasmBinary): void {
  if (id === 0) result.customs.push(reader.text());
  if (id === 2) {
    result.imports = reader.list(() => {
      const module = reader.text();
      const name = reader.text();
      const kind = KINDS[reader.byte()];
      if (kind === "memory") return { module, name, kind, memory: reader.limits() };
      if (kind === "function") reader.number();
      else if (kind === "global") reader.take(2);
      else if (kind === "table") {
        reader.byte();
        reader.limits();
      } else throw new Error(`import of kind ${kind}`);
      return { module, name, kind };
    });
  }
  if (id === 5) result.memories = reader.number();
  if (id === 6) {
    result.globals = reader.list(() => {
      const global = { type: reader.byte(), mutable: reader.byte() === 1 };
      reader.constant();
      return global;
    });
  }
  if (id === 7) {
    result.exports = reader.list(() => ({ name: reader.text(), kind: reader.byte(), index: reader.number() }));
  }
  if (id === 8) result.hasStart = true;
  if (id === 11) {
    result.data = reader.list(() => {
      const mode = reader.number();
      if (mode === 2) reader.number();
      const offset = mode === 1 ? Number.NaN : reader.constant();
      return { passive: mode === 1, offset, bytes: reader.take(reader.number()) };
    });
  }
}
