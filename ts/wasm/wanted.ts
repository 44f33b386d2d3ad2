/**
 * Whether this program has anything in it that calls operators: then `init` loads their module too. What calls them
 * imports the session, and a bundler drops the session, with all that loads the module, from a program that has no use for it.
 */

import type { OperatorExports } from "./abi.ts";
import type { ModuleOptions, WasmInstance } from "./instance.ts";
import type { BytesChange } from "./loader.ts";

/** How the operators' module comes into an engine. */
export interface OperatorModules {
  /** Whether the package's own file is loaded with the engine. */
  isNeeded(options: ModuleOptions, change: BytesChange | undefined): boolean;
  /** Loads the module; what comes of it takes it into an instance. */
  load(
    options: ModuleOptions,
    signal: AbortSignal | undefined,
    change: BytesChange | undefined,
  ): Promise<(instance: WasmInstance) => Promise<void>>;
  /** Loads it into an instance at once, when an operator is first called by the name of `caller`; throws where it cannot. */
  open(instance: WasmInstance, caller: string): OperatorExports;
}

let wanted: OperatorModules | undefined;

/** Notes how it comes, and gives back what needs operators. */
export function wantOperators<T>(user: T, modules: OperatorModules): T {
  wanted = modules;
  return user;
}

/** How it comes, where the session is part of the program so far. */
export function operatorModules(): OperatorModules | undefined {
  return wanted;
}
