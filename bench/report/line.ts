/** The form of a record. */

/** Columns in their order. Those of the machine's own limits are rows of the case "roof". */
export const COLUMNS = [
  ...["date", "engine", "machine", "cores", "threads", "case", "what", "by", "version", "how", "status"],
  ...["median_ms", "p10_ms", "p90_ms", "calls", "disturbed_share", "limit", "rate", "share_of_limit"],
  ...["plain_case", "part_of_plain", "times_strict", "times_fast", "error_share_of_bound", "note"],
] as const;

type Column = (typeof COLUMNS)[number];
export type Line = Readonly<Record<Column, string>>;

/** Who a row is by, as tables name it. */
export const authorOf = (by: string, threads: number): string => (threads === 1 ? by : `${by}, ${threads} threads`);

export const ROOF = "roof";
