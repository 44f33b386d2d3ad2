// The allocator against a plain model: nothing given out twice, nothing lost, holes joined again.
import fc from "fast-check";
import { expect, it } from "vitest";
import { ALIGNMENT, Heap, roundUp } from "../../ts/wasm/heap.ts";

const START = 4096;
const END = START + 64 * ALIGNMENT;

interface Piece {
  readonly address: number;
  readonly size: number;
}

function assertSound(heap: Heap, pieces: readonly Piece[]): void {
  const sorted = [...pieces].sort((a, b) => a.address - b.address);
  let last = heap.start;
  for (const { address, size } of sorted) {
    expect(address % ALIGNMENT).toBe(0);
    expect(address).toBeGreaterThanOrEqual(last);
    expect(heap.isAllocated(address, size)).toBe(true);
    if (address > last) expect(heap.isAllocated(last, address - last)).toBe(false);
    last = address + size;
  }
  expect(last).toBeLessThanOrEqual(heap.end);
  // The last hole, which the shortfall tells; the others have been seen not to be given out.
  expect(heap.shortfall(0)).toBe(last - heap.end);
}

it("gives out whole lines, never the same twice, and joins what comes back", () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ take: fc.integer({ min: 1, max: 12 * ALIGNMENT }) }) },
    { weight: 3, arbitrary: fc.record({ giveBack: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ extend: fc.integer({ min: 1, max: 8 * ALIGNMENT }) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const heap = new Heap(START - 5, END);
      expect(heap.start).toBe(START);
      const pieces: Piece[] = [];
      let end = END;
      for (const each of steps) {
        if ("take" in each) {
          const size = roundUp(each.take);
          const address = heap.allocate(size);
          if (address >= 0) pieces.push({ address, size });
          else expect(heap.shortfall(size)).toBeGreaterThan(0);
        } else if ("giveBack" in each && pieces.length > 0) {
          const [piece] = pieces.splice(each.giveBack % pieces.length, 1);
          heap.free(piece!.address, piece!.size);
        } else if ("extend" in each) {
          end += each.extend;
          heap.extend(end);
        }
        assertSound(heap, pieces);
      }
      for (const { address, size } of pieces) heap.free(address, size);
      // One hole again: everything can be had at once.
      expect(heap.allocate(heap.end - heap.start)).toBe(heap.start);
    }),
    { numRuns: 300 },
  );
});

it("an allocation that does not fit does so after growing by the shortfall", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 }), fc.nat(), (lines, freed) => {
      const heap = new Heap(START, END);
      const pieces = lines.map((n) => ({ address: heap.allocate(n * ALIGNMENT), size: n * ALIGNMENT }));
      const piece = pieces[freed % pieces.length]!;
      if (piece.address >= 0) heap.free(piece.address, piece.size);
      const size = 65 * ALIGNMENT;
      expect(heap.allocate(size)).toBe(-1);
      heap.extend(heap.end + heap.shortfall(size));
      expect(heap.allocate(size)).toBeGreaterThanOrEqual(START);
    }),
  );
});

it("works above 2 GiB", () => {
  const heap = new Heap(START, 2 ** 32 - 65536);
  const first = heap.allocate(roundUp(3 * 2 ** 30));
  const second = heap.allocate(128);
  expect(second).toBe(START + 3 * 2 ** 30);
  heap.free(first, roundUp(3 * 2 ** 30));
  expect(heap.isAllocated(second, 128)).toBe(true);
  expect(heap.isAllocated(second + 64, 128)).toBe(false);
  expect(roundUp(2 ** 33 + 1)).toBe(2 ** 33 + 64);
});
