/** The page where other libraries are installed. */
import { loadPagePeers } from "../peers/page.ts";
import { measure } from "./measure.ts";

await measure(loadPagePeers);
