/**
 * The argument block of an operator beside attention: lists of numbers, of integers and of operands, each as long as the
 * longest call needs. Its offsets are part of the fingerprint that package and wasm agree on.
 */

/** The most numbers, integers, inputs and outputs of a call. */
export const FLOATS = 8;
export const INTEGERS = 32;
export const INPUTS = 12;
export const OUTPUTS = 4;

/** Words of an operand: pointer (0 = absent), dtype, count of elements. */
const PLACE_WORDS = 3;

const FLOATS_AT = 0;
const NUMBER_AT: number = FLOATS_AT + 2 * FLOATS;
const SCRATCH_AT: number = NUMBER_AT + 1;
const SCRATCH_BYTE_LENGTH_AT: number = SCRATCH_AT + 1;
const PLAN_SCRATCH_BYTE_LENGTH_AT: number = SCRATCH_BYTE_LENGTH_AT + 1;
const PLAN_TILES_AT: number = PLAN_SCRATCH_BYTE_LENGTH_AT + 1;
/** Phases of an operator. */
export const PHASES = 2;
const PLAN_WORKSPACE_BYTE_LENGTH_AT: number = PLAN_TILES_AT + PHASES;
const PLAN_WORK_AT: number = PLAN_WORKSPACE_BYTE_LENGTH_AT + 1;
const INTEGERS_AT: number = PLAN_WORK_AT + 1;
const INPUTS_AT: number = INTEGERS_AT + INTEGERS;
const OUTPUTS_AT: number = INPUTS_AT + PLACE_WORDS * INPUTS;
const END: number = OUTPUTS_AT + PLACE_WORDS * OUTPUTS;

/** Size of the block in bytes: a multiple of 16. */
export const OPERATOR_BYTE_LENGTH: number = Math.ceil(END / 4) * 16;

/** Byte offsets of the fields in order, then the size. */
export const OPERATOR_OFFSETS: readonly number[] = [
  ...[
    FLOATS_AT,
    NUMBER_AT,
    SCRATCH_AT,
    SCRATCH_BYTE_LENGTH_AT,
    PLAN_SCRATCH_BYTE_LENGTH_AT,
    PLAN_TILES_AT,
    PLAN_WORKSPACE_BYTE_LENGTH_AT,
    PLAN_WORK_AT,
    INTEGERS_AT,
    INPUTS_AT,
    OUTPUTS_AT,
  ].map((word) => 4 * word),
  OPERATOR_BYTE_LENGTH,
];

/** dtype codes of operands. */
export const OPERAND_DTYPES = { float32: 0, float16: 1, bfloat16: 2, bool: 3, uint8: 3, int32: 4 } as const;

/** An operand of a call. */
export interface Operand {
  readonly address: number;
  readonly dtype: keyof typeof OPERAND_DTYPES;
  readonly elements: number;
}

/** What an operator is called with; an operand that is undefined is absent. */
export interface OperatorArguments {
  readonly integers?: readonly number[];
  readonly floats?: readonly number[];
  readonly inputs: readonly (Operand | undefined)[];
  readonly outputs: readonly (Operand | undefined)[];
}

/** Views that the block is written through. */
interface Words {
  readonly u32: Uint32Array;
  readonly f64: Float64Array;
}

/** Writes a call into the block at `block`. */
export function writeOperator({ u32, f64 }: Words, block: number, number: number, call: OperatorArguments): void {
  const { integers = [], floats = [], inputs, outputs } = call;
  const base = block >>> 2;
  u32.fill(0, base, base + OPERATOR_BYTE_LENGTH / 4);
  // Loops: to set so few elements from a list is a call into the engine.
  for (let i = 0; i < floats.length; i++) f64[(block >>> 3) + i] = floats[i]!;
  u32[base + NUMBER_AT] = number;
  // An i32 is stored as its bits.
  for (let i = 0; i < integers.length; i++) u32[base + INTEGERS_AT + i] = integers[i]!;
  writePlaces(u32, base + INPUTS_AT, inputs);
  writePlaces(u32, base + OUTPUTS_AT, outputs);
}

function writePlaces(u32: Uint32Array, at: number, operands: readonly (Operand | undefined)[]): void {
  for (let index = 0; index < operands.length; index++) {
    const operand = operands[index];
    if (operand === undefined) continue;
    const place = at + PLACE_WORDS * index;
    u32[place] = operand.address;
    u32[place + 1] = OPERAND_DTYPES[operand.dtype];
    u32[place + 2] = operand.elements;
  }
}

/** What the wasm says after `plan`. */
export interface OperatorPlan {
  /** Bytes of scratch memory for one thread. */
  readonly scratchByteLength: number;
  /** Bytes more for each further one. */
  readonly workspaceByteLength: number;
  /** About how much there is to do. */
  readonly work: number;
  /** Tiles of each phase. */
  readonly tiles: readonly number[];
}

/** Reads what `plan` has written. */
export function readPlan(u32: Uint32Array, block: number): OperatorPlan {
  const base = block >>> 2;
  const at = base + PLAN_TILES_AT;
  return {
    scratchByteLength: u32[base + PLAN_SCRATCH_BYTE_LENGTH_AT]!,
    workspaceByteLength: u32[base + PLAN_WORKSPACE_BYTE_LENGTH_AT]!,
    work: u32[base + PLAN_WORK_AT]!,
    tiles: [u32[at]!, u32[at + 1]!],
  };
}

/** Tells the wasm where its scratch memory lies. */
export function writeScratch(u32: Uint32Array, block: number, address: number, byteLength: number): void {
  u32.set([address, byteLength], (block >>> 2) + SCRATCH_AT);
}
