/** What only the browser's entry does: it loads by fetch, and never by itself. Order matters: init comes late. */
import { equal, type Library, ok, rejects, sameBits, throws } from "../../conformance/harness.ts";

export interface PageTools {
  library: Library;
  answer(url: string): Promise<Response>;
}

export interface PageCase {
  name: string;
  run(tools: PageTools): unknown;
}

const one = { data: Float32Array.of(1, 2, 3, 4), shape: [1, 1, 1, 4] };

/** One key: the result is its value. */
function works(library: Library): void {
  const { out } = library.attention(one, one, one);
  sameBits(out.data as Float32Array, one.data, "out");
}

const refused = (library: Library) => library.SaccadeError as never;

export const entryCases: PageCase[] = [
  {
    name: "entry: a call before init is refused and says what to write",
    run({ library }) {
      const error = throws(
        () => library.attention(one, one, one),
        refused(library),
        "ERR_SACCADE_NOT_INITIALIZED",
        "attention",
      );
      ok(/await init\(/.test(error.message), `no word of init: ${error.message}`);
    },
  },
  {
    name: "entry: a page in the place of the wasm file is named as such",
    async run({ library }) {
      const url = new URL("/answers/page.wasm", location.href);
      const error = (await rejects(
        library.init({ module: url }),
        refused(library),
        "ERR_SACCADE_WASM_LOAD",
        "init",
      )) as Error & { url?: string; status?: number; contentType?: string; hint?: string };
      equal(error.url, url.href, "url");
      equal(error.status, 200, "status");
      ok(/text\/html/.test(error.contentType ?? ""), `contentType is ${error.contentType}`);
      ok((error.hint ?? "").length > 0, "no hint");
    },
  },
  {
    name: "entry: a missing wasm file is named with its status",
    async run({ library }) {
      const error = (await rejects(
        library.init({ module: new URL("/answers/missing.wasm", location.href) }),
        refused(library),
        "ERR_SACCADE_WASM_LOAD",
        "init",
      )) as Error & { status?: number };
      equal(error.status, 404, "status");
    },
  },
  {
    name: "entry: a wasm file cut short is refused",
    async run({ library }) {
      await rejects(
        library.init({ module: new URL("/answers/short.wasm", location.href) }),
        refused(library),
        "ERR_SACCADE_WASM_LOAD",
        "init",
      );
    },
  },
  {
    name: "entry: a wasm file served with another content type still loads",
    async run({ library }) {
      const engine = await library.createEngine({ module: new URL("/answers/untyped.wasm", location.href) });
      try {
        const { out } = library.attention(one, one, one, { engine });
        sameBits(out.data as Float32Array, one.data, "out");
      } finally {
        engine.dispose();
      }
    },
  },
  {
    name: "entry: init works after failures, calls side by side share it, and attention runs under the strict policy",
    async run({ library }) {
      await Promise.all([library.init(), library.init()]);
      await library.init();
      works(library);
    },
  },
  {
    name: "entry: a second init with other options names createEngine",
    async run({ library }) {
      const error = await rejects(
        library.init({ memory: { initialMiB: 8 } }),
        refused(library),
        "ERR_SACCADE_ALREADY_INITIALIZED",
        "init",
      );
      ok(/createEngine/.test(error.message), `no word of createEngine: ${error.message}`);
      works(library);
    },
  },
  {
    name: "entry: this page may evaluate wasm and nothing else, and is isolated",
    run() {
      equal(globalThis.crossOriginIsolated, true, "crossOriginIsolated");
      let evaluated = false;
      try {
        evaluated = new Function("return true")() as boolean;
      } catch {
        // As it should be.
      }
      equal(evaluated, false, "evaluation of text");
    },
  },
];

export const forbiddenCases: PageCase[] = [
  {
    name: "entry: where the page's policy forbids wasm, init says so",
    async run({ library }) {
      const error = (await rejects(library.init(), refused(library), "ERR_SACCADE_WASM_FORBIDDEN", "init")) as Error & {
        hint?: string;
      };
      ok(/wasm-unsafe-eval/.test(`${error.message} ${error.hint}`), `no word of wasm-unsafe-eval: ${error.message}`);
    },
  },
];
