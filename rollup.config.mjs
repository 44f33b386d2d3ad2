import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import typescript from "@rollup/plugin-typescript";
import ts from "typescript";
import { MODULES, VARIANTS } from "./scripts/build/variants.mjs";

const ENTRIES = {
  node: "ts/entry/node.ts",
  browser: "ts/entry/browser.ts",
  "thread-node": "ts/entry/thread-node.ts",
  "thread-browser": "ts/entry/thread-browser.ts",
  "nn-node": "ts/entry/nn-node.ts",
  "nn-browser": "ts/entry/nn-browser.ts",
  "vision-node": "ts/entry/vision-node.ts",
  "vision-browser": "ts/entry/vision-browser.ts",
  "worker-node": "ts/entry/worker-node.ts",
  "worker-browser": "ts/entry/worker-browser.ts",
  "worker-host-node": "ts/entry/worker-host-node.ts",
  "worker-host-browser": "ts/entry/worker-host-browser.ts",
  viz: "ts/viz/index.ts",
  interop: "ts/interop/index.ts",
};
const TYPES = "dist/types";

/**
 * Modules that bundlers must be able to drop, or to load on demand, though this package's own entries need them at once: the
 * session of the operators, which tells of itself (ts/wasm/wanted.ts), and what `init` imports when an option asks for it.
 */
const STANDS_ALONE = {
  "ts/wasm/operator.ts": "operators",
  "ts/operator-modules.ts": "operator-modules",
  "ts/modules-sync.ts": "operator-modules",
  "ts/wasm/instance-sync.ts": "operator-modules",
  "ts/wasm/given-module.ts": "given-module",
  "ts/threads/availability.ts": "availability",
  "ts/wasm/attention-phases.ts": "sharing",
  "ts/wasm/sharing.ts": "sharing",
  // What a page needs that has its engine in a worker: nothing of the engine.
  "ts/wasm/loader.ts": "loader",
  "ts/wasm/features.ts": "loader",
  "ts/wasm/simd.ts": "simd",
  "ts/wasm/foreign.ts": "foreign",
};

/** Declarations keep the ".ts" of their sources' imports; beside them lie .d.ts files, which ".js" names everywhere. */
const importsInDeclarations = {
  name: "imports-in-declarations",
  writeBundle() {
    for (const name of readdirSync(TYPES, { recursive: true })) {
      if (!name.endsWith(".d.ts")) continue;
      const file = join(TYPES, name);
      const text = readFileSync(file, "utf8");
      writeFileSync(file, text.replace(/((?:from|import)\s*\(?\s*["']\.{1,2}\/[^"']+?)(?:\.d)?\.ts(["'])/g, "$1.js$2"));
    }
  },
};

/** What an earlier build left goes only once there is something to put in its place. */
const freshFolder = {
  name: "fresh-folder",
  generateBundle() {
    rmSync("dist", { recursive: true, force: true });
  },
};

/** The declarations carry the documentation; the modules need not carry it a second time. */
const withoutComments = {
  name: "without-comments",
  renderChunk(code) {
    const { ESNext: target } = ts.ScriptTarget;
    const compilerOptions = { target, module: ts.ModuleKind.ESNext, removeComments: true, sourceMap: true };
    const { outputText, sourceMapText } = ts.transpileModule(code, { compilerOptions });
    // The one comment that bundlers read (ts/warm-up.ts) goes with the others, and is put back.
    const pure = outputText.replace(/= (warmedBy\()/g, "= /* @__PURE__ */ $1");
    return { code: pure.replace(/^\/\/# sourceMappingURL=.*$/m, ""), map: sourceMapText };
  },
};

const wasmBeside = {
  name: "wasm-beside",
  writeBundle() {
    for (const variant of Object.keys(VARIANTS)) {
      for (const { folder, file } of Object.values(MODULES)) {
        copyFileSync(`${folder(variant)}/saccade_bg.wasm`, `dist/${file(variant)}`);
      }
    }
  },
};

export default {
  input: Object.fromEntries(Object.entries(ENTRIES).filter(([, file]) => existsSync(file))),
  output: {
    dir: "dist",
    format: "es",
    // Chunks lie beside the entries: a URL relative to the module means the same folder in all of them.
    entryFileNames: "[name].js",
    chunkFileNames: "shared-[name].js",
    manualChunks: (id) => STANDS_ALONE[id.slice(id.lastIndexOf("/ts/") + 1)],
    onlyExplicitManualChunks: true,
    // An entry names what it needs itself, not what its chunks need.
    hoistTransitiveImports: false,
    sourcemap: true,
  },
  external: /^node:/,
  plugins: [
    freshFolder,
    typescript({ tsconfig: "./tsconfig.build.json", noEmitOnError: true }),
    withoutComments,
    importsInDeclarations,
    wasmBeside,
  ],
};
