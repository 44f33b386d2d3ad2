// The checksum of stored bytes is CRC-32, wherever they begin and however many they are.
import { expect, it } from "vitest";
import { crc32 } from "../../ts/checksum.ts";
import { crc32 as byDefinition } from "./crc32.ts";

it("has the check value of its catalogue", () => {
  expect(crc32(new TextEncoder().encode("123456789"))).toBe(0xcbf43926);
});

it("is that of the definition", () => {
  const bytes = Uint8Array.from({ length: 64 }, (_, i) => (i * 167 + (i >> 2)) & 0xff);
  for (let from = 0; from < 9; from++) {
    for (let to = from; to <= bytes.length; to++) {
      const some = bytes.subarray(from, to);
      expect(crc32(some), `${from} to ${to}`).toBe(byDefinition(some));
    }
  }
});
