/** The page of ours alone. */
import { measure } from "./measure.ts";

await measure(async () => []);
