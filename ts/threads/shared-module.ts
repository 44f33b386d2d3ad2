/**
 * The module that runs on one thread runs on several after one byte of it is changed: the flag of its memory import that
 * says whether the memory is shared (01: it has a maximum; 03: and it is shared). An engine refuses a module and a
 * memory that do not agree in this.
 */

const IMPORT_SECTION = 2;
const MEMORY_IMPORT = 2;
const HEADER_LENGTH = 8;

/** The module's bytes, asking for a shared memory; bytes of another kind stay as they are, and are refused later. */
export function withSharedMemory(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const shared = new Uint8Array(bytes);
  let at = HEADER_LENGTH;
  const unsigned = (): number => {
    let value = 0;
    for (let scale = 1; at < shared.length; scale *= 128) {
      const byte = shared[at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
    }
    return value;
  };
  const skip = (count: number): void => {
    at += count;
  };
  while (at < shared.length) {
    const section = shared[at++];
    const length = unsigned();
    if (section !== IMPORT_SECTION) {
      skip(length);
      continue;
    }
    for (let left = unsigned(); left > 0; left--) {
      skip(unsigned());
      skip(unsigned());
      const kind = shared[at++];
      if (kind === MEMORY_IMPORT) {
        if (shared[at] === 1) shared[at] = 3;
        return shared;
      }
      // A function has the index of its type; nothing else comes before the memory in a module of ours.
      if (kind !== 0) return shared;
      unsigned();
    }
    return shared;
  }
  return shared;
}

/** What a thread's instance imports: the memory, and nothing else that would do anything. */
export function importsOf(module: WebAssembly.Module, memory: WebAssembly.Memory): WebAssembly.Imports {
  const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {};
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    imports[from] ??= {};
    imports[from][name] = kind === "memory" ? memory : () => {};
  }
  return imports;
}
