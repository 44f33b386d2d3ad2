/**
 * The compiled modules that engines are made of: the files beside this package's script, compiled once whatever number
 * of engines runs them, or what options give in their place.
 */

import { SaccadeError } from "./errors.ts";
import type { ResolvedInit } from "./layout/init.ts";
import { currentPlatform } from "./platform.ts";
import type { ModuleName, OperatorsSource } from "./wasm/instance.ts";
import { loadError, loadModule, loadModuleSync, type WasmSource } from "./wasm/loader.ts";
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
): Promise<WebAssembly.Module> {
  const given = givenFor(name, options);
  const platform = currentPlatform();
  if (given !== undefined) {
    return loadModule(given as WasmSource | PromiseLike<WasmSource>, `options.${optionFor(name)}`, platform, signal);
  }
  const key = `${options.build} ${name}`;
  const url = platform.wasmUrl(options.build, name);
  const module = compiled.get(key) ?? (await loadModule(url, "", platform, signal));
  compiled.set(key, module);
  return module;
}

/** The same at once, where a file can be read so. */
export function moduleForSync(name: ModuleName, options: Given, caller: string): WebAssembly.Module {
  const given = givenFor(name, options);
  if (given !== undefined) return loadModuleSync(given, undefined, caller, `options.${optionFor(name)}`);
  const key = `${options.build} ${name}`;
  const module = compiled.get(key) ?? ownSync(name, options, caller);
  compiled.set(key, module);
  return module;
}

/** What gives an engine its operators when one is first called. */
export function operatorsSource(options: Given): OperatorsSource {
  return (caller) => moduleForSync("operators", options, caller);
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

function ownSync(name: ModuleName, { build, module }: Given, caller: string): WebAssembly.Module {
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
  return loadModuleSync(bytes, url.href, caller, "");
}
