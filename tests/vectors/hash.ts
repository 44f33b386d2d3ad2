/** SHA-256 of a result's canonical bytes: little-endian float32, every NaN as 7fc00000; -0 and +0 differ. */
export async function hashOf(values: Float32Array): Promise<string> {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < values.length; i++) {
    view.setUint32(4 * i, Number.isNaN(values[i]) ? 0x7fc00000 : bits[i]!, true);
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
