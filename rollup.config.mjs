import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
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

/** Where the wasm's fields, codes and phases have their names. */
const NUMBERS = ["abi", "attention-fields", "call", "dispatch"].map((name) => `./ts/wasm/${name}.ts`);

/**
 * Those numbers are written where they are used: a page that is cut into chunks would otherwise export each by its name from
 * one to the other.
 */
const numbers = new Map();
const numbersInPlace = {
  name: "numbers-in-place",
  buildStart() {
    for (const file of NUMBERS) {
      const found = readFileSync(file, "utf8").matchAll(/^export const ([A-Z][A-Z0-9_]*) = (0x[0-9a-f]+|[0-9]+);$/gm);
      numbers.set(resolve(file), new Map(Array.from(found, ([, name, value]) => [name, value])));
    }
  },
  transform(code, id) {
    if (!id.endsWith(".ts")) return null;
    const source = ts.createSourceFile(id, code, ts.ScriptTarget.ESNext, true);
    const known = new Map();
    for (const statement of source.statements) {
      const names = ts.isImportDeclaration(statement) ? statement.importClause?.namedBindings?.elements : undefined;
      for (const { name } of names ?? []) {
        const value = numbers
          .get(resolve(dirname(id), statement.moduleSpecifier.text).replace(/\.js$/, ".ts"))
          ?.get(name.text);
        if (value !== undefined) known.set(name.text, value);
      }
    }
    const edits = [];
    const visit = (node) => {
      if (ts.isImportDeclaration(node)) return;
      const { parent } = node;
      const value = ts.isIdentifier(node) ? known.get(node.text) : undefined;
      if (value === undefined) ts.forEachChild(node, visit);
      else if (ts.isShorthandPropertyAssignment(parent)) edits.push([node.getEnd(), node.getEnd(), `: ${value}`]);
      else if (parent.name !== node) edits.push([node.getStart(), node.getEnd(), value]);
    };
    visit(source);
    const changed = edits.reduceRight((text, [from, to, value]) => text.slice(0, from) + value + text.slice(to), code);
    return { code: changed, map: null };
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
    numbersInPlace,
    withoutComments,
    importsInDeclarations,
    wasmBeside,
  ],
};
