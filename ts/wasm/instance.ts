/**
 * One instance of the wasm with a memory of its own: what an engine is made of. Several live side by side; nothing
 * here is shared between them but the compiled modules.
 *
 * The wasm is two modules over the one memory: attention with the cache, and the operators beside them, which a program
 * that only attends never loads. They share the stack, as neither calls the other; their constants lie apart.
 */

import { SaccadeError } from "../errors.ts";
import {
  ABI_FINGERPRINT,
  ATTENTION_BYTE_LENGTH,
  EXPORT_NAMES,
  HEAP_START,
  type KernelExports,
  KIND_OPERATOR,
  type OperatorExports,
} from "./abi.ts";
import type { TilePool } from "./dispatch.ts";
import { roundUp } from "./heap.ts";
import { LinearMemory, PAGE_BYTE_LENGTH } from "./memory.ts";
import { OPERATOR_BYTE_LENGTH } from "./operator-block.ts";
import { operatorModules } from "./wanted.ts";

/** Which of the two artifacts: the same bits everywhere, or relaxed SIMD. */
export type Build = "strict" | "fast";

/** Which of a build's two modules. */
export type ModuleName = "attention" | "operators";

/** Where the modules of an engine come from. */
export interface ModuleOptions {
  readonly build: Build;
  /** As in `InitOptions`; undefined: the package's own file. */
  readonly module: unknown;
  readonly operators: unknown;
}

/** Options that an instance is made of. */
export interface InstanceOptions extends ModuleOptions {
  readonly memory: MemorySize;
}

/** Sizes of an instance's memory, in pages of 64 KiB. */
export interface MemorySize {
  readonly initialPages: number;
  readonly maximumPages: number;
}

/** The memory in use; `free` gives everything back at once. */
export class WasmInstance {
  readonly build: Build;
  /** Attention's module and its functions. */
  readonly module: WebAssembly.Module;
  readonly exports: KernelExports;
  /** The memory as the wasm sees it: what further threads are given. */
  readonly wasmMemory: WebAssembly.Memory;
  /** Address of the attention argument block: it is there as long as the instance, or as the job that it is swapped for. */
  argumentBlock: number;
  /** Address of the operators' argument block, likewise. */
  operatorBlock: number;
  /** Tensors that live in this memory. */
  tensors = 0;
  /** The threads that share this memory; undefined on one thread. */
  pool: TilePool | undefined;
  /** Runs a block on them, or says that it is not worth it: set with them. */
  runShared: ((instance: WasmInstance, memory: LinearMemory, block: number, caller: string) => boolean) | undefined;
  /** The operators' module and its functions, once it has been loaded. */
  operatorsModule: WebAssembly.Module | undefined;
  operators: OperatorExports | undefined;
  /** Why there is no pool though more than one thread was asked for. */
  threadsReason: string | undefined;
  /** Where its modules come from. */
  readonly modules: ModuleOptions;
  #memory: LinearMemory | undefined;
  #trap: { readonly cause: unknown } | undefined;

  constructor(
    options: InstanceOptions,
    module: WebAssembly.Module,
    exports: KernelExports,
    memory: WebAssembly.Memory,
  ) {
    this.module = module;
    this.build = options.build;
    this.modules = options;
    this.exports = exports;
    this.wasmMemory = memory;
    this.argumentBlock = HEAP_START;
    this.operatorBlock = roundUp(this.argumentBlock + ATTENTION_BYTE_LENGTH);
    this.#memory = new LinearMemory(memory, this.operatorBlock + OPERATOR_BYTE_LENGTH, options.memory.maximumPages);
  }

  /**
   * The memory, for a call by the name of `caller`.
   *
   * @throws SaccadeError `ERR_SACCADE_DISPOSED`, or `ERR_SACCADE_POISONED` after a trap
   */
  memory(caller: string): LinearMemory {
    if (this.#trap !== undefined) throw this.#poisoned(caller);
    if (this.#memory === undefined) {
      throw new SaccadeError("ERR_SACCADE_DISPOSED", `${caller}: the engine has been disposed`);
    }
    return this.#memory;
  }

  /** The functions that run a kind of call; those of the operators are loaded when they are first asked for. */
  exportsFor(kind: number, caller: string): OperatorExports {
    if (kind !== KIND_OPERATOR) return this.exports;
    return this.operators ?? operatorModules()!.open(this, caller);
  }

  /** The memory whatever has happened to the engine; undefined once it has been given back. */
  get memoryIfAny(): LinearMemory | undefined {
    return this.#memory;
  }

  /** Whether it can still run calls: neither disposed of nor trapped. */
  get usable(): boolean {
    return this.#trap === undefined && this.#memory !== undefined;
  }

  /** Whether {@link dispose} has been called. */
  get disposed(): boolean {
    return this.#memory === undefined;
  }

  /** The numeric profile: what its bits follow. */
  get profile(): "saccade-attn-f32-v1" | "relaxed" {
    return this.build === "strict" ? "saccade-attn-f32-v1" : "relaxed";
  }

  /** Gives the memory back (to the garbage collector). May be called again. */
  dispose(): void {
    this.pool?.dispose();
    this.pool = undefined;
    this.runShared = undefined;
    this.#memory = undefined;
    this.tensors = 0;
  }

  /** Marks the instance after an exception came out of the wasm: its stack pointer was not restored. */
  poison(caller: string, cause: unknown): SaccadeError {
    this.#trap ??= { cause };
    return this.#poisoned(caller);
  }

  #poisoned(caller: string): SaccadeError {
    return new SaccadeError(
      "ERR_SACCADE_POISONED",
      `${caller}: the wasm of this engine has trapped; make a new engine with createEngine()`,
      { cause: this.#trap?.cause },
    );
  }
}

/** The memory of a new instance. */
export function newMemory({ initialPages, maximumPages }: MemorySize, shared: boolean): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: initialPages, maximum: maximumPages, shared });
  } catch (cause) {
    const requestedBytes = initialPages * PAGE_BYTE_LENGTH;
    const limitBytes = maximumPages * PAGE_BYTE_LENGTH;
    throw new SaccadeError(
      "ERR_SACCADE_OUT_OF_MEMORY",
      `a wasm memory of ${requestedBytes} bytes (at most ${limitBytes}) cannot be had here`,
      { requestedBytes, limitBytes, cause },
    );
  }
}

/** What to import: one memory, and a no-op for the function of wasm-bindgen that need not do anything. */
export function importsFor(module: WebAssembly.Module, memory: WebAssembly.Memory): WebAssembly.Imports {
  const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {};
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    imports[from] ??= {};
    if (kind === "memory") imports[from][name] = memory;
    // What else a module asks for it does not get, and is refused.
    else if (name.startsWith("__wbindgen_init_externref_table")) imports[from][name] = () => {};
  }
  return imports;
}

/** Whether an instance exports what one of ours does; why not is told by `foreign.ts`. */
export function isOurs(exports: WebAssembly.Exports, names: readonly string[]): boolean {
  const { abi_fingerprint, heap_base } = exports as unknown as OperatorExports;
  return (
    names.every((name) => typeof exports[name] === "function") &&
    abi_fingerprint() >>> 0 === ABI_FINGERPRINT &&
    heap_base() >>> 0 <= HEAP_START
  );
}

/** Instantiates a module without blocking. */
export async function link<T extends OperatorExports>(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  names: readonly string[],
): Promise<T> {
  let exports: WebAssembly.Exports | undefined;
  let cause: unknown;
  try {
    ({ exports } = await WebAssembly.instantiate(module, importsFor(module, memory)));
    if (isOurs(exports, names)) return exports as unknown as T;
  } catch (error) {
    cause = error;
  }
  throw (await import("./foreign.ts")).foreignError(module, exports, names, cause);
}

/** Instantiates attention's module without blocking; `shared` says which kind of memory it asks for. */
export async function instantiate(
  options: InstanceOptions,
  module: WebAssembly.Module,
  shared = false,
): Promise<WasmInstance> {
  const memory = newMemory(options.memory, shared);
  return new WasmInstance(options, module, await link(module, memory, EXPORT_NAMES), memory);
}
