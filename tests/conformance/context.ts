/** A context over a library and the two ways by which a platform reads files. */
import type { InitOptions } from "saccade";
import type { Build, Context, Engine, Library } from "./harness.ts";

export interface Platform {
  library: Library;
  load: Context["load"];
  wasm: Context["wasm"];
  long: boolean;
  /** How the shared engines are made, beside their build. */
  options?: InitOptions;
}

export function createContext({ library, load, wasm, long, options }: Platform) {
  const engines = new Map<Build, Promise<Engine>>();
  const records = new Map<string, number>();
  const context: Context = {
    library,
    load,
    wasm,
    long,
    relaxedSimd: library.capabilities().relaxedSimd,
    engine(build) {
      const engine = engines.get(build) ?? library.createEngine({ ...options, build });
      engines.set(build, engine);
      return engine;
    },
    record(name, value) {
      records.set(name, Math.max(value, records.get(name) ?? 0));
    },
  };
  return { context, records };
}
