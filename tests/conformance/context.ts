/** A context over a library and the two ways by which a platform reads files. */
import type { Build, Context, Engine, Library } from "./harness.ts";

export interface Platform {
  library: Library;
  load: Context["load"];
  wasm: Context["wasm"];
  long: boolean;
}

export function createContext({ library, load, wasm, long }: Platform) {
  const engines = new Map<Build, Promise<Engine>>();
  const records = new Map<string, number>();
  const context: Context = {
    library,
    load,
    wasm,
    long,
    relaxedSimd: library.capabilities().relaxedSimd,
    engine(build) {
      const engine = engines.get(build) ?? library.createEngine({ build });
      engines.set(build, engine);
      return engine;
    },
    record(name, value) {
      records.set(name, Math.max(value, records.get(name) ?? 0));
    },
  };
  return { context, records };
}
