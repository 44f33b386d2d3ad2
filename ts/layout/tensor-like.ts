/**
 * Reading tensors that callers pass. Two steps, so that no code of the caller can run between a check and its use:
 * first every property is read exactly once into a record of our own (getters and proxies run here, and only here),
 * then the record is proved against the typed array's true length.
 */

import { type DType, ELEMENT_BYTE_LENGTH, type TensorData } from "../dtype.ts";
import { argumentError, SaccadeError, shapeError, strideError, wrongKind } from "../errors.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import type { Resident } from "../wasm/resident.ts";
import { contiguousStrides, type TensorView } from "../wasm/view.ts";
import {
  countElements,
  isContiguous,
  MAXIMUM_RANK,
  proveInteger,
  proveShape,
  proveStrides,
  RANK_EXPECTED,
  snapshot,
  spanOf,
} from "./shape.ts";
import { arrayFacts, rawArray, resolveDType, typedArrayKind } from "./typed-array.ts";

/**
 * A tensor as a plain object: anything that has `data` and `shape`, so other libraries' tensors need no conversion.
 *
 * Elements are in row-major order unless `strides` say otherwise. `strides` and `offset` count elements; the last
 * axis must be contiguous (stride 1), so that one `qkv` buffer can be viewed three times without copying. Where
 * neither is given, `data` must hold exactly the elements of `shape`.
 *
 * @example
 * ```ts
 * const qkv = new Float32Array(seq * 3 * heads * dim); // [seq, 3, heads, dim]
 * const shape = [seq, heads, dim];
 * const strides = [3 * heads * dim, dim, 1];
 * const query = { data: qkv, shape, strides };
 * const key = { data: qkv, shape, strides, offset: heads * dim };
 * const value = { data: qkv, shape, strides, offset: 2 * heads * dim };
 * ```
 */
export interface TensorLike {
  /** The elements. A `Uint16Array` needs {@link TensorLike.dtype}. */
  readonly data: TensorData;
  /** Sizes of the axes, from 0 up. */
  readonly shape: ArrayLike<number>;
  /** Follows the array where it is left out: Float32Array float32, Int32Array int32, Uint8Array uint8. */
  readonly dtype?: DType | undefined;
  /** Elements from one index to the next, per axis. Default: row-major. */
  readonly strides?: ArrayLike<number> | undefined;
  /** Elements before the first one. Default 0. */
  readonly offset?: number | undefined;
}

/** The brand by which the inner layers know a Tensor: its class extends this one. It cannot be forged. */
export class ResidentHandle {
  readonly #resident: Resident;

  /** @internal */
  constructor(resident: Resident) {
    this.#resident = resident;
  }

  /** @internal The resident of a Tensor, undefined for anything else. */
  static residentOf(value: object): Resident | undefined {
    return #resident in value ? value.#resident : undefined;
  }
}

/** A tensor as it was given: each property read once, nothing proved but the shape. */
export interface CapturedTensor {
  /** How messages call it: `query`, `out.lse`. */
  readonly name: string;
  readonly shape: readonly number[];
  /** Set for a Tensor; the fields below are then empty. */
  readonly resident: Resident | undefined;
  readonly data: unknown;
  readonly dtype: unknown;
  readonly strides: readonly unknown[] | undefined;
  readonly offset: unknown;
  /** Set for what an earlier step of the same call leaves in the arena: proved by whoever made it. */
  readonly step: TensorView | undefined;
}

/** A tensor of which only the name and the shape count, or one that has been proved: a Tensor, a step of the same call. */
export function bareTensor(
  name: string,
  shape: readonly number[],
  resident?: Resident,
  step?: TensorView,
): CapturedTensor {
  return { name, shape, resident, data: undefined, dtype: undefined, strides: undefined, offset: undefined, step };
}

/** What an earlier step of the same call leaves, under the name that messages use. */
export function stepTensor(step: TensorView, name: string): CapturedTensor {
  return bareTensor(name, step.shape, undefined, step);
}

/** Reads a tensor: the only step that may run code of the caller. */
export function captureTensor(value: unknown, caller: string, name: string): CapturedTensor {
  if (typeof value !== "object" || value === null) {
    throw wrongKind(caller, name, value, "a Tensor or { data, shape }");
  }
  const resident = ResidentHandle.residentOf(value);
  return resident === undefined ? capturePlain(value, caller, name) : bareTensor(name, resident.view.shape, resident);
}

function capturePlain(value: object, caller: string, name: string): CapturedTensor {
  const read = propertyReader(value);
  const data = read("data");
  // A Tensor of another copy of this package has a shape, but not one that can be read from here.
  const shape = data === undefined ? undefined : read("shape");
  if (data === undefined || shape === undefined) {
    const isArray = Array.isArray(value);
    const kind = isArray ? "plain array" : typedArrayKind(value);
    const given = kind === undefined ? `has no ${data === undefined ? "data" : "shape"}` : `is a ${kind}`;
    const detail = isArray ? " with a typed array as data" : "";
    throw argumentError(caller, `${name} ${given}; expected a Tensor or { data, shape }${detail}`);
  }
  const dtype = read("dtype");
  const strides = read("strides");
  const offset = read("offset");
  const about = `${name}.shape`;
  const sizes = snapshot(shape, MAXIMUM_RANK, caller, about, RANK_EXPECTED);
  return {
    name,
    shape: proveShape(sizes, caller, about),
    resident: undefined,
    data,
    dtype,
    strides:
      strides === undefined ? strides : snapshot(strides, MAXIMUM_RANK, caller, `${name}.strides`, "one per axis"),
    offset,
    step: undefined,
  };
}

/**
 * Own and inherited properties are read, since classes of other libraries have getters; but of a plain object only
 * its own, so that nothing added to `Object.prototype` becomes a stride.
 */
function propertyReader(value: object): (property: string) => unknown {
  const record = value as Record<string, unknown>;
  return Object.getPrototypeOf(value) === Object.prototype
    ? (property) => (Object.hasOwn(record, property) ? record[property] : undefined)
    : (property) => record[property];
}

/** The dtype of a captured tensor. */
export function dtypeOf(captured: CapturedTensor, caller: string): DType {
  const known = captured.resident?.view ?? captured.step;
  return known?.dtype ?? resolveDType(captured.data, captured.dtype, caller, captured.name);
}

/** The strides and offset of a plain tensor of `elements` elements: those given, proved, or row-major ones from 0. */
export function proveLayout(
  { name, shape, strides, offset }: CapturedTensor,
  elements: number,
  caller: string,
): { readonly strides: readonly number[]; readonly offset: number } {
  return {
    strides:
      strides === undefined
        ? contiguousStrides(shape, elements)
        : proveStrides(strides, shape, caller, `${name}.strides`),
    offset: offset === undefined ? 0 : proveInteger(offset, 0, Number.MAX_SAFE_INTEGER, caller, `${name}.offset`),
  };
}

/**
 * Proves a captured tensor: every element that its shape and strides reach exists. Runs no code of the caller.
 *
 * @param instance - whose memory a Tensor must live in; undefined: it is read at once, wherever it lives
 * @param writes - whether it is a target
 */
export function proveTensor(
  captured: CapturedTensor,
  instance: WasmInstance | undefined,
  caller: string,
  writes = false,
): TensorView {
  const { name, resident, shape } = captured;
  if (resident !== undefined) {
    resident.assertHeld(caller, name);
    if (instance !== undefined && resident.instance !== instance) {
      throw new SaccadeError(
        "ERR_SACCADE_FOREIGN",
        `${caller}: ${name} is a Tensor of another engine; make it with { engine }, or pass its toPlain()`,
      );
    }
    resident.use(writes, caller, name);
    return resident.view;
  }
  if (captured.step !== undefined) return captured.step;
  const dtype = dtypeOf(captured, caller);
  const elements = countElements(shape, caller, `${name}.shape`);
  const { strides, offset } = proveLayout(captured, elements, caller);
  const { buffer, byteOffset, length } = arrayFacts(captured.data, caller, name);
  const span = elements === 0 ? 0 : spanOf(shape, strides);
  const isWhole = captured.strides === undefined && offset === 0;
  if (offset + span > length || (isWhole && captured.offset === undefined && elements !== length)) {
    const held = `${name}.data holds ${length} elements, `;
    const sizes = `shape [${shape.join(", ")}]`;
    const advice = elements < length ? " (to view a part of a larger array, give offset or strides)" : "";
    if (isWhole) throw shapeError(caller, `${held}${name}.${sizes} needs ${elements}${advice}`);
    const reached = `offset ${offset} reaches element ${offset + Math.max(span, 1) - 1}`;
    throw strideError(caller, `${held}but ${sizes} with strides [${strides.join(", ")}] and ${reached}`);
  }
  const itemByteLength = ELEMENT_BYTE_LENGTH[dtype];
  const first = byteOffset + offset * itemByteLength;
  const inside =
    instance === undefined ? -1 : addressInside(instance, buffer, first, span * itemByteLength, caller, name);
  return {
    dtype,
    shape,
    strides,
    elements,
    span,
    contiguous: elements === 0 || isContiguous(shape, strides),
    address: inside,
    outside: inside < 0 ? rawArray(dtype, buffer, span === 0 ? 0 : first, span) : undefined,
  };
}

/** Address of elements that lie in this instance's own memory (a Tensor's `view()`), or -1. */
function addressInside(
  instance: WasmInstance,
  buffer: ArrayBufferLike,
  address: number,
  byteLength: number,
  caller: string,
  name: string,
): number {
  const memory = instance.memory(caller);
  if (!memory.owns(buffer)) return -1;
  if (byteLength === 0) return memory.emptyAddress;
  if (!memory.isHeld(address, byteLength)) {
    throw new SaccadeError(
      "ERR_SACCADE_DISPOSED",
      `${caller}: ${name}.data lies over wasm memory that no Tensor holds any more`,
    );
  }
  return address;
}
