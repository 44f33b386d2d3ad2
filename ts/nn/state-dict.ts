/**
 * Reading weights by the names under which PyTorch stores them.
 */

import { argumentError, describe, wrongKind } from "../errors.ts";
import type { TensorInput } from "../tensor.ts";

/** Tensors by name: the `tensors` of `readSafetensors`, another Map, or a record. */
export type StateDict = { readonly [name: string]: TensorInput | undefined } | ReadonlyMap<string, unknown>;

/** The tensors of one layer: those whose name begins with its prefix, by what follows it. */
export class LayerWeights {
  readonly #tensors: ReadonlyMap<string, unknown>;
  readonly #prefix: string;
  readonly #caller: string;

  constructor(dict: unknown, prefix: unknown, caller: string) {
    if (prefix !== undefined && typeof prefix !== "string") {
      throw wrongKind(caller, "options.prefix", prefix, `a string such as "encoder.layers.0.self_attn."`);
    }
    if (typeof dict !== "object" || dict === null) {
      throw argumentError(caller, `the weights are ${describe(dict)}; expected tensors by name`);
    }
    this.#prefix = prefix ?? "";
    this.#caller = caller;
    const entries: Iterable<[string, unknown]> = dict instanceof Map ? dict.entries() : Object.entries(dict);
    const tensors = new Map<string, unknown>();
    for (const [name, tensor] of entries) {
      if (name.startsWith(this.#prefix) && tensor !== undefined) tensors.set(name.slice(this.#prefix.length), tensor);
    }
    this.#tensors = tensors;
  }

  /** Names under the prefix. */
  get names(): readonly string[] {
    return [...this.#tensors.keys()];
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** A tensor that may be missing. */
  optional(name: string): unknown {
    return this.#tensors.get(name);
  }

  /** A tensor that must be there. */
  required(name: string): unknown {
    if (this.#tensors.has(name)) return this.#tensors.get(name);
    throw argumentError(this.#caller, `there is no weight ${JSON.stringify(this.#prefix + name)}`);
  }

  /** How messages name a tensor. */
  nameOf(name: string): string {
    return this.#prefix + name;
  }
}
