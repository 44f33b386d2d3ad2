/** What follows from the numeric contract, for both builds. */
import { maskLaws } from "./masks.ts";
import { partLaws } from "./parts.ts";
import { shardLaws } from "./shards.ts";
import { valueLaws } from "./values.ts";

export const lawCases = [...partLaws, ...maskLaws, ...valueLaws, ...shardLaws];
