/**
 * The compiled modules that engines are made of: the files beside this package's script, compiled once whatever number
 * of engines runs them, or what options give in their place.
 */

import { SaccadeError } from "./errors.ts";
import type { ResolvedInit } from "./layout/init.ts";
import { currentPlatform } from "./platform.ts";
import type { ModuleName, OperatorsSource } from "./wasm/instance.ts";
import { type BytesChange, loadError, loadModule, loadModuleSync, type WasmSource } from "./wasm/loader.ts";
import { areOperatorsWanted } from "./wasm/wanted.ts";

type Given = Pick<ResolvedInit, "build" | "module" | "operators">;

const compiled = new Map<string, WebAssembly.Module>();

function givenFor(name: ModuleName, options: Given): unknown {
  return name === "attention" ? options.module : options.operators;
}

/** A module of an engine; `signal` stops a download. */
export async function moduleFor(
  name: ModuleName,
  options: Given,
  signal: AbortSignal | undefined,
  change?: BytesChange,
): Promise<WebAssembly.Module> {
  const given = givenFor(name, options);
  const platform = currentPlatform();
  if (given !== undefined) {
    const source = given as WasmSource | PromiseLike<WasmSource>;
    return loadModule(source, `options.${optionFor(name)}`, platform, signal, change);
  }
  const key = keyOf(name, options, change);
  const url = platform.wasmUrl(options.build, name);
  const module = compiled.get(key) ?? (await loadModule(url, "", platform, signal, change));
  compiled.set(key, module);
  return module;
}

/** The same at once, where a file can be read so. */
export function moduleForSync(
  name: ModuleName,
  options: Given,
  caller: string,
  change?: BytesChange,
): WebAssembly.Module {
  const given = givenFor(name, options);
  if (given !== undefined) return loadModuleSync(given, undefined, caller, `options.${optionFor(name)}`, change);
  const key = keyOf(name, options, change);
  const module = compiled.get(key) ?? ownSync(name, options, caller, change);
  compiled.set(key, module);
  return module;
}

/** What gives an engine its operators when one is first called. */
export function operatorsSource(options: Given, change?: BytesChange): OperatorsSource {
  return (caller) => moduleForSync("operators", options, caller, change);
}

/** There is one change only, so that a module is compiled at most twice. */
function keyOf(name: ModuleName, { build }: Given, change: BytesChange | undefined): string {
  return `${build} ${name}${change === undefined ? "" : " shared"}`;
}

/**
 * Whether the operators' module is to be loaded with the engine: where it is given; else where it cannot be read later, and
 * the program has a use for it. Who gives one module alone says where neither lies by default.
 */
export function loadsOperators(options: Given): boolean {
  if (options.operators !== undefined) return true;
  return options.module === undefined && areOperatorsWanted() && currentPlatform().readSync === undefined;
}

function optionFor(name: ModuleName): string {
  return name === "attention" ? "module" : "operators";
}

function ownSync(
  name: ModuleName,
  { build, module }: Given,
  caller: string,
  change: BytesChange | undefined,
): WebAssembly.Module {
  const { readSync, wasmUrl } = currentPlatform();
  if (readSync === undefined) {
    const advice =
      name === "attention"
        ? "give the wasm as initSync({ module }), or await init()"
        : module === undefined
          ? "await init() once more: it loads the operators' wasm now that the program has use for it"
          : "give the operators' wasm beside the other one: { module, operators }";
    throw new SaccadeError(
      "ERR_SACCADE_NOT_INITIALIZED",
      `${caller}: files cannot be read synchronously here; ${advice}`,
    );
  }
  const url = wasmUrl(build, name);
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = readSync(url);
  } catch (cause) {
    throw loadError(String(cause), { url: url.href, cause, hint: "is the file there?" });
  }
  return loadModuleSync(bytes, url.href, caller, "", change);
}
