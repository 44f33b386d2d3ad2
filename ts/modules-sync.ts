/**
 * The compiled modules of engines at once, where a file can be read so or the wasm is given.
 */

import { SaccadeError, wrongKind } from "./errors.ts";
import { keepModule, ownModule } from "./modules.ts";
import { currentPlatform } from "./platform.ts";
import { bytesOf, compiledAlready, isBytes, isModule } from "./wasm/given-module.ts";
import type { ModuleName, ModuleOptions } from "./wasm/instance.ts";
import { assertWasm, type BytesChange, compileError, loadError } from "./wasm/loader.ts";

/** A module of an engine. */
export function moduleForSync(
  name: ModuleName,
  options: ModuleOptions,
  caller: string,
  change?: BytesChange,
): WebAssembly.Module {
  const option = name === "attention" ? "module" : "operators";
  const given = options[option];
  if (given !== undefined) return compileSync(given, undefined, caller, `options.${option}`, change);
  const module = ownModule(name, options, change, (url) =>
    compileSync(read(url, name, options, caller), url.href, caller, "", change),
  );
  return keepModule(name, options, change, module);
}

/** Compiles a module or bytes, which came in the option `option`. */
function compileSync(
  source: unknown,
  url: string | undefined,
  caller: string,
  option: string,
  change: BytesChange | undefined,
): WebAssembly.Module {
  if (isModule(source)) return compiledAlready(source as WebAssembly.Module, caller, option, change);
  if (!isBytes(source)) {
    throw wrongKind(caller, option, source, "a WebAssembly.Module or its bytes");
  }
  const bytes = bytesOf(source);
  assertWasm(bytes, { url });
  try {
    return new WebAssembly.Module(change === undefined ? bytes : change(bytes));
  } catch (cause) {
    throw compileError(cause, { url });
  }
}

function read(url: URL, name: ModuleName, { module }: ModuleOptions, caller: string): Uint8Array<ArrayBuffer> {
  const { readSync } = currentPlatform();
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
  try {
    return readSync(url);
  } catch (cause) {
    throw loadError(String(cause), { url: url.href, cause, hint: "is the file there?" });
  }
}
