/**
 * What every function over features begins with: an input and its weights, each read once and then proved, and the place of
 * its result.
 */

import type { Engine } from "../engine.ts";
import { argumentError, type SaccadeRangeError, shapeError } from "../errors.ts";
import { instanceFor } from "../init.ts";
import type { TensorInput } from "../tensor.ts";
import type { Destination } from "../wasm/call.ts";
import type { WasmInstance } from "../wasm/instance.ts";
import { resolveApart, resolveDestination } from "./destinations.ts";
import { proveFinite } from "./finite.ts";
import { type CapturedLengths, captureLengths } from "./lengths.ts";
import { type FloatView, proveFloatTensor } from "./operands.ts";
import { readOptions } from "./options.ts";

import { type CapturedTensor, captureTensor } from "./tensor-like.ts";

/** Options that every such function has. */
export interface FeatureOptions {
  /** Where `out` goes: float32 of its shape; it must not overlap an input. Default: a new tensor. */
  readonly out?: TensorInput | undefined;
  /** Default: the default engine. */
  readonly engine?: Engine | undefined;
}

/** Names of a function and of what it takes. */
interface Names<R extends string, P extends string, O extends string> {
  readonly caller: string;
  /** How messages name the input. */
  readonly input: string;
  /** Tensors that must be given. */
  readonly required: readonly R[];
  /** Tensors that may be given. */
  readonly optional?: readonly P[];
  /** Other options; `out` and `engine` need not be named. */
  readonly others?: readonly O[];
}

/** A call whose tensors are proved one by one; their shapes are left to the caller. */
export interface FeatureCall<R extends string, P extends string, O extends string> {
  readonly caller: string;
  readonly instance: WasmInstance;
  readonly x: FloatView;
  readonly tensors: Readonly<Record<R, FloatView> & Partial<Record<P, FloatView>>>;
  readonly read: Readonly<Partial<Record<O, unknown>>>;
  /** The option `lengths`, where it is one of the others and given. */
  readonly lengths: CapturedLengths | undefined;
  /** The input as it was read, and the tensors. */
  readonly input: CapturedTensor;
  readonly captured: Readonly<Partial<Record<R | P, CapturedTensor>>>;
  /** The engine that was given. */
  readonly engine: unknown;
  /** The `out` that was given. */
  readonly given: unknown;
  readonly target: CapturedTensor | undefined;
}

/** Reads input and options, then proves every tensor; all but a query are weights, which must be finite. */
export function readFeatureCall<R extends string, P extends string = never, O extends string = never>(
  input: unknown,
  options: unknown,
  { caller, input: name, required, optional = [], others = [] }: Names<R, P, O>,
): FeatureCall<R, P, O> {
  const x = captureTensor(input, caller, name);
  const read = readOptions(options, [...required, ...optional, ...others, "out", "engine"], caller);
  const captured: [string, CapturedTensor][] = [];
  for (const each of [...required, ...optional]) {
    const value = read[each];
    if (value !== undefined) captured.push([each, captureTensor(value, caller, each)]);
    else if ((required as readonly string[]).includes(each)) {
      throw argumentError(caller, `options.${each} is missing; expected a tensor`);
    }
  }
  const { lengths } = read as { lengths?: unknown };
  const capturedLengths = lengths === undefined ? undefined : captureLengths(lengths, caller, "options.lengths");
  const target = read.out === undefined ? undefined : captureTensor(read.out, caller, "out");
  const instance = instanceFor(read.engine, caller);
  return {
    caller,
    instance,
    x: proveFloatTensor(x, instance, caller),
    tensors: Object.fromEntries(
      captured.map(([each, tensor]) => {
        const view = proveFloatTensor(tensor, instance, caller);
        if (each !== "query") proveFinite(view, instance, caller, each);
        return [each, view];
      }),
    ) as Record<R, FloatView> & Partial<Record<P, FloatView>>,
    read: read as Partial<Record<O, unknown>>,
    lengths: capturedLengths,
    input: x,
    captured: Object.fromEntries(captured) as Partial<Record<R | P, CapturedTensor>>,
    engine: read.engine,
    given: read.out,
    target,
  };
}

/** A `RangeError` about a shape. */
export function wrongShape(
  caller: string,
  name: string,
  shape: readonly number[],
  expected: string,
): SaccadeRangeError {
  return shapeError(caller, `${name}.shape is [${shape.join(", ")}]; expected ${expected}`);
}

/** Proves that a tensor, where it is given, has one of some shapes. */
export function proveShapeOf(
  caller: string,
  name: string,
  view: FloatView | undefined,
  shapes: readonly (readonly number[])[],
  meaning: string,
): void {
  const same = (shape: readonly number[]): boolean =>
    view?.shape.length === shape.length && shape.every((size, axis) => size === view.shape[axis]);
  if (view === undefined || shapes.some(same)) return;
  const forms = shapes.map((shape) => `[${shape.join(", ")}]`).join(" or ");
  throw wrongShape(caller, name, view.shape, `${forms} (${meaning})`);
}

/** Where a call's `out` goes: a target is apart from all inputs. */
export function destinationOf(
  { caller, instance, x, tensors, target }: FeatureCall<string, string, string>,
  shape: readonly number[],
  input: string,
): Destination {
  return resolveApart(target, shape, { [input]: x, ...tensors }, instance, caller);
}

/** A result that has no target of its own. */
export function newDestination(
  { caller, instance }: FeatureCall<string, string, string>,
  shape: readonly number[],
): Destination {
  return resolveDestination(undefined, shape, "float32", instance, caller);
}
