// Custom sections of a wasm module: names, producers and the like. They say things about the code and are not part of it.

const HEADER_LENGTH = 8;
const CUSTOM = 0;

/** The module without its custom sections; everything else stays byte for byte. @param {Uint8Array} module */
export function withoutCustomSections(module) {
  const kept = [module.subarray(0, HEADER_LENGTH)];
  for (let at = HEADER_LENGTH; at < module.length; ) {
    const { value: length, end } = readUnsigned(module, at + 1);
    if (module[at] !== CUSTOM) kept.push(module.subarray(at, end + length));
    at = end + length;
  }
  return Buffer.concat(kept);
}

/** An unsigned LEB128 number. */
function readUnsigned(bytes, start) {
  let value = 0;
  let at = start;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return { value, end: at };
  }
}
