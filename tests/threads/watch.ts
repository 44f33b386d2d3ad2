/** What is handed out to threads: a pool wakes them through `Atomics.notify`, which is watched here. */
import { readJob, SEQUENCE } from "../../ts/threads/control.ts";
import { KIND_ATTENTION, KIND_CACHE, KIND_MERGE, KIND_OPERATOR } from "../../ts/wasm/abi.ts";
import { OPERATORS } from "../../ts/wasm/operator.ts";
import { OPERATOR_OFFSETS } from "../../ts/wasm/operator-block.ts";
import type { Engine, Library } from "./case.ts";

export interface Watch {
  /** Jobs since the last {@link Watch.take}, by the names of what they run. */
  take(): string[];
  end(): void;
}

/** Watches the jobs of an engine. */
export function watch({ Tensor }: Library, engine: Engine): Watch {
  const anything = Tensor.zeros([1], "float32", { engine });
  const names = new Map(Object.entries(OPERATORS).map(([name, number]) => [number as number, name]));
  const kinds = new Map([
    [KIND_ATTENTION, "attention"],
    [KIND_MERGE, "merge"],
    [KIND_CACHE, "cache"],
  ]);
  let jobs: string[] = [];
  const { notify } = Atomics;
  Atomics.notify = ((array: Int32Array, index: number, count?: number) => {
    // Without a count it is a thread that is to end.
    if (index === SEQUENCE && count !== undefined) {
      const { kind, block } = readJob(array);
      const words = new Uint32Array(anything.view().buffer);
      const number = words[(block + OPERATOR_OFFSETS[1]!) >>> 2]!;
      jobs.push((kind === KIND_OPERATOR ? names.get(number) : kinds.get(kind)) ?? `kind ${kind}`);
    }
    return notify(array, index, count);
  }) as typeof notify;
  return {
    take() {
      const taken = jobs;
      jobs = [];
      return taken;
    },
    end() {
      Atomics.notify = notify;
      anything.dispose();
    },
  };
}
