/** Where a run took place. */
import { cpus } from "node:os";

export interface Machine {
  readonly date: string;
  readonly engine: string;
  readonly machine: string;
  readonly cores: number;
}

/** `engine` is a name and a version; a page's engine is told, ours is this process's. */
export function machineOf(engine = `node ${process.versions.node} (v8 ${process.versions.v8})`): Machine {
  const machine = cpus()[0]?.model.trim() ?? "unknown";
  return { date: new Date().toISOString().slice(0, 10), engine, machine, cores: cpus().length };
}

const slug = (text: string): string =>
  text
    .toLowerCase()
    .replace(/\((?:r|tm)\)/g, "")
    .replace(/\(.*\)/, "")
    .replace(/[^a-z0-9.]+/g, "-")
    .replace(/^-|-$/g, "");

/** The name of a run's file: a later run of a day takes the place of an earlier one. */
export const fileNameOf = ({ date, engine, machine }: Machine): string =>
  `${date}-${slug(engine)}-${slug(machine)}.csv`;
