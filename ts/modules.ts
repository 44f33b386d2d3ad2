/**
 * The compiled modules that engines are made of: the files beside this package's script, compiled once whatever number
 * of engines runs them, or what options give in their place.
 */

import type { ResolvedInit } from "./layout/init.ts";
import { currentPlatform } from "./platform.ts";
import { instantiate, type ModuleName, type ModuleOptions, type WasmInstance } from "./wasm/instance.ts";
import type { BytesChange } from "./wasm/loader.ts";
import { operatorModules } from "./wasm/wanted.ts";

/** What has been compiled of the package's own files. */
const compiled = new Map<string, WebAssembly.Module>();

/** The module of one of the package's own files; `load` is asked only where it has not been compiled before. */
export function ownModule<T>(
  name: ModuleName,
  { build }: ModuleOptions,
  change: BytesChange | undefined,
  load: (url: URL) => T,
): T | WebAssembly.Module {
  return compiled.get(keyOf(name, build, change)) ?? load(currentPlatform().wasmUrl(build, name));
}

/** Remembers what {@link ownModule} has loaded. */
export function keepModule(
  name: ModuleName,
  { build }: ModuleOptions,
  change: BytesChange | undefined,
  module: WebAssembly.Module,
): WebAssembly.Module {
  compiled.set(keyOf(name, build, change), module);
  return module;
}

/** There is one change only, so that a module is compiled at most twice. */
function keyOf(name: ModuleName, build: string, change: BytesChange | undefined): string {
  return `${build} ${name} ${change !== undefined}`;
}

/** A module of an engine; `signal` stops a download. */
export async function moduleFor(
  name: ModuleName,
  options: ModuleOptions,
  signal: AbortSignal | undefined,
  change?: BytesChange,
): Promise<WebAssembly.Module> {
  const platform = currentPlatform();
  const option = name === "attention" ? "module" : "operators";
  const given = options[option];
  if (given !== undefined) {
    const { loadGiven } = await import("./wasm/given-module.ts");
    return loadGiven(given as Parameters<typeof loadGiven>[0], `options.${option}`, platform, signal, change);
  }
  const module = await ownModule(name, options, change, (url) => platform.load(url, signal, change));
  return keepModule(name, options, change, module);
}

/**
 * Begins to load the operators' module where it is to be there with the engine: where it is given; else where it cannot be
 * read later, and the program has a use for it. What comes of it takes the module into an instance.
 */
export function loadOperators(
  options: ModuleOptions,
  signal: AbortSignal | undefined,
  change?: BytesChange,
): Promise<(instance: WasmInstance) => Promise<void>> | undefined {
  const known = operatorModules();
  if (options.operators !== undefined) {
    return (
      known === undefined ? import("./operator-modules.ts").then((it) => it.operators) : Promise.resolve(known)
    ).then((modules) => modules.load(options, signal, change));
  }
  return known?.isNeeded(options, change) ? known.load(options, signal, change) : undefined;
}

/** Loads what an engine is made of, and makes its instance. */
export async function makeInstance(
  options: ResolvedInit,
  signal: AbortSignal | undefined,
  change?: BytesChange,
): Promise<WasmInstance> {
  const [module, addOperators] = await Promise.all([
    moduleFor("attention", options, signal, change),
    loadOperators(options, signal, change),
  ]);
  const instance = await instantiate(options, module, change !== undefined);
  await addOperators?.(instance);
  return instance;
}
