// The packed tarball, as a user gets it: what is in it, that it installs alone, imports, type-checks and bundles.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const LONG = 120_000;
const PLATFORMS = ["node", "browser"];
/** What a page loads of `saccade/worker` at once, but for what runs in the worker. */
const WORKER_PAGE_GZIP_LIMIT = 10_500;
/** Entries that differ between platforms, in the order of the manifest. */
const PARTS = ["thread", "nn", "vision", "worker", "worker-host"];

let folder: string;
let files: string[];
let installed: string;

function run(command: string, args: readonly string[], cwd: string): string {
  try {
    return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${command} ${args.join(" ")}\n${stdout}\n${stderr}`);
  }
}

const node = (args: readonly string[], cwd = folder): string => run(process.execPath, args, cwd);
const npm = (args: readonly string[], cwd: string): string =>
  run(process.platform === "win32" ? "npm.cmd" : "npm", args, cwd);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "saccade-package-"));
  const [packed] = JSON.parse(npm(["pack", "--json", "--ignore-scripts", "--pack-destination", folder], root)) as [
    { filename: string; files: { path: string }[] },
  ];
  files = packed.files.map(({ path }) => path).sort();
  writeFileSync(join(folder, "package.json"), '{ "name": "user", "private": true, "type": "module" }\n');
  npm(["install", "--offline", "--no-audit", "--no-fund", `./${packed.filename}`], folder);
  installed = join(folder, "node_modules", "saccade");
}, LONG);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const read = (path: string): string => readFileSync(join(installed, path), "utf8");

describe("the tarball", () => {
  it("holds what it must and nothing else", () => {
    const fixed = files.filter((path) => !/^dist\/(types\/.*\.d\.ts|shared-[a-z-]+\.js(\.map)?)$/.test(path));
    const names = ["interop", "viz", ...PLATFORMS.flatMap((name) => [name, ...PARTS.map((part) => `${part}-${name}`)])];
    const entries = names.flatMap((name) => [`dist/${name}.js`, `dist/${name}.js.map`]);
    const modules = ["fast", "strict"].flatMap((build) => [
      `dist/saccade.${build}.operators.wasm`,
      `dist/saccade.${build}.wasm`,
    ]);
    expect(fixed).toEqual(["LICENSE", "README.md", ...entries, ...modules, "package.json"].sort());
    for (const path of ["node", ...PARTS.map((part) => `${part}-node`)])
      expect(files).toContain(`dist/types/entry/${path}.d.ts`);
    for (const path of ["viz/index", "interop/index"]) expect(files).toContain(`dist/types/${path}.d.ts`);
  });

  it("depends on nothing", () => {
    const manifest = JSON.parse(read("package.json")) as { scripts?: object };
    for (const name of ["dependencies", "peerDependencies", "optionalDependencies", "bundledDependencies"]) {
      expect(manifest).not.toHaveProperty(name);
    }
    expect(readdirSync(join(folder, "node_modules")).filter((name) => !name.startsWith("."))).toEqual(["saccade"]);
    const scripts = Object.keys(manifest.scripts ?? {});
    expect(scripts.filter((name) => /^(pre|post)?install$|^prepare$/.test(name))).toEqual([]);
  });

  it("names only files that are there, and keeps the entries that set up", () => {
    const manifest = JSON.parse(read("package.json")) as {
      exports: Record<string, string | Record<string, string>>;
      sideEffects: string[];
    };
    const targets = Object.values(manifest.exports).flatMap((target) =>
      typeof target === "string" ? [target] : Object.values(target),
    );
    for (const target of targets) expect(files).toContain(target.replace(/^\.\//, ""));
    // Each entry says what its platform can do when it runs: a bundler must not drop that.
    const entries = [...PLATFORMS, ...PARTS.flatMap((part) => PLATFORMS.map((name) => `${part}-${name}`))];
    expect(manifest.sideEffects).toEqual(entries.map((name) => `./dist/${name}.js`));
  });

  it("speaks to the wasm itself: no generated glue, no path of the machine that built it", () => {
    for (const path of files.filter((each) => each.endsWith(".js"))) {
      const code = read(path);
      expect(code, path).not.toMatch(/__wbg_|__wbindgen_(malloc|free|realloc|throw)|takeObject|wasm-bindgen/);
      expect(code, path).not.toContain(root.replace(/\/$/, ""));
    }
    for (const path of files.filter((each) => each.endsWith(".map"))) expect(read(path), path).not.toContain(root);
  });

  it("only the files for Node name a module of Node", () => {
    const naming = files.filter((path) => path.endsWith(".js") && /from\s*["']node:/.test(read(path)));
    expect(naming).toEqual(
      ["node", "shared-node", "thread-node", "worker-host-node", "worker-node"].map((name) => `dist/${name}.js`),
    );
  });
});

describe("an installation", () => {
  it("imports and computes, without another file", () => {
    writeFileSync(
      join(folder, "use.mjs"),
      `import { attention, capabilities, init, SaccadeError, Tensor } from "saccade";
       const x = { data: new Float32Array([1, 2]), shape: [1, 2] };
       const lazily = attention(x, x, x).out.data;
       const engine = await init();
       using_(Tensor.from(x));
       function using_(t) { console.log(JSON.stringify([[...attention(t, t, t).out.data], [...lazily], engine.stats().build,
         new SaccadeError("ERR_SACCADE_UNSUPPORTED", "").name, capabilities().simd])); t.dispose(); }`,
    );
    expect(JSON.parse(node(["use.mjs"]))).toEqual([[1, 2], [1, 2], "strict", "SaccadeError", true]);
  });

  it("its layers set the engine up by themselves, and share it with the main entry", () => {
    const zeros = "const zeros = (...shape) => ({ data: new Float32Array(shape.reduce((a, b) => a * b)), shape });";
    const gru = "new GRU({ weight_ih_l0: zeros(6, 3), weight_hh_l0: zeros(6, 2) })";
    writeFileSync(
      join(folder, "layers.mjs"),
      `import { GRU } from "saccade/nn";
       ${zeros}
       console.log(${gru}.forward(zeros(4, 3)).output.shape.join());`,
    );
    expect(node(["layers.mjs"]).trim()).toBe("4,2");
    writeFileSync(
      join(folder, "shared.mjs"),
      `import { GRU } from "saccade/nn";
       import { init, Tensor } from "saccade";
       ${zeros}
       const engine = await init();
       const x = Tensor.from(zeros(4, 3));
       const gru = ${gru};
       console.log(engine.stats().tensors, gru.forward(x).output.shape.join());`,
    );
    expect(node(["shared.mjs"]).trim()).toBe("3 4,2");
  });

  it("saccade/vision computes by itself, and on the engine of the main entry", () => {
    writeFileSync(
      join(folder, "vision.mjs"),
      `import { eca } from "saccade/vision";
       const x = { data: new Float32Array([2, 4]), shape: [1, 1, 1, 2] };
       const w = { data: new Float32Array([0]), shape: [1] };
       const alone = [...eca(x, { w }).out.data];
       const { createEngine, init, Tensor } = await import("saccade");
       const engine = await init();
       const t = Tensor.from(x);
       const before = engine.stats().tensors;
       const out = Tensor.zeros([1, 1, 1, 2], "float32");
       eca(t, { w, out });
       const other = await createEngine();
       let code;
       try { eca(t, { w, engine: other }); } catch (error) { code = error.code; }
       console.log(JSON.stringify([alone, before, [...out.toPlain().data], code]));`,
    );
    expect(JSON.parse(node(["vision.mjs"]))).toEqual([[1, 2], 1, [1, 2], "ERR_SACCADE_FOREIGN"]);
  });

  it("its sub-paths import too", () => {
    const code = `for (const name of ["saccade/nn", "saccade/vision", "saccade/viz", "saccade/interop", "saccade/worker"]) console.log(Object.keys(await import(name)).length > 0);
      console.log(import.meta.resolve("saccade/saccade.strict.wasm").endsWith("/dist/saccade.strict.wasm"));`;
    writeFileSync(join(folder, "paths.mjs"), code);
    expect(node(["paths.mjs"]).trim().split("\n")).toEqual(new Array(6).fill("true"));
  });

  it("saccade/worker computes in a worker, and lets the program end", () => {
    writeFileSync(
      join(folder, "worker.mjs"),
      `import { attention } from "saccade";
       import { createWorkerEngine } from "saccade/worker";
       const x = { data: new Float32Array([1, 2]), shape: [1, 2] };
       const remote = await createWorkerEngine();
       console.log(String((await remote.attention(x, x, x)).out.data), String(attention(x, x, x).out.data));`,
    );
    expect(node(["worker.mjs"]).trim()).toBe("1,2 1,2");
  });

  it.each(["nodenext", "bundler"])(
    "type-checks under moduleResolution %s, its own declarations included",
    (moduleResolution) => {
      writeFileSync(
        join(folder, "use.ts"),
        `import { attention, init, Tensor, type AttentionOptions, type TensorLike } from "saccade";
         import { MultiHeadAttention } from "saccade/nn";
         import * as viz from "saccade/viz";
         import * as interop from "saccade/interop";
         import { cbam, type CbamOptions } from "saccade/vision";
         import { createWorkerEngine, type WorkerTensor } from "saccade/worker";
         await init({ memory: { maximumMiB: 64 } });
         const x = { data: new Float32Array(8), shape: [2, 4] } satisfies TensorLike;
         const options: AttentionOptions = { causal: true };
         const lse: Float32Array = attention(x, x, x, { returnLse: true }).lse.data;
         const plain: Float32Array = attention(x, Tensor.from(x), x, options).out.data;
         // @ts-expect-error -- not asked for
         attention(x, x, x).lse;
         const maps = (options: CbamOptions): Float32Array => cbam(x, options).out.data;
         const layer = new MultiHeadAttention({ wq: x, wk: x, wv: x, wo: x, numHeads: 1 });
         const weights: Float32Array = layer.forward(x, x, x, { returnWeights: true }).weights.data;
         // @ts-expect-error -- not asked for
         layer.forward(x).weights;
         const remote = await createWorkerEngine();
         const there: WorkerTensor<"float32"> = await remote.Tensor.from(x);
         const { signal } = new AbortController();
         const far: Float32Array = (await remote.attention(there, x, x, { returnLse: true, signal, transfer: true })).lse.data;
         // @ts-expect-error -- not asked for
         (await remote.attention(x, x, x)).lse;
         // @ts-expect-error -- no such option
         await remote.attention(x, x, x, { causl: true });
         export { far, interop, lse, maps, plain, viz, weights };\n`,
      );
      const compilerOptions = {
        target: "ES2022",
        lib: ["ES2022", "DOM"],
        types: [],
        module: moduleResolution === "nodenext" ? "nodenext" : "esnext",
        moduleResolution,
        strict: true,
        exactOptionalPropertyTypes: true,
        noEmit: true,
        skipLibCheck: false,
      };
      writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["use.ts"] }));
      expect(node([join(root, "node_modules/typescript/bin/tsc"), "-p", "."])).toBe("");
    },
    LONG,
  );

  it.each(['attention } from "saccade"', 'GRU as attention } from "saccade/nn"'])(
    "bundles for a browser, { %s: the entry stays, the wasm comes along",
    async (names) => {
      writeFileSync(join(folder, "index.html"), '<!doctype html><script type="module" src="./app.js"></script>\n');
      writeFileSync(join(folder, "app.js"), `import { ${names};\nglobalThis.attention = attention;\n`);
      const { build } = await import("vite");
      await build({
        root: folder,
        logLevel: "silent",
        configFile: false,
        build: { outDir: "bundle", minify: false, assetsInlineLimit: 0 },
      });
      const assets = readdirSync(join(folder, "bundle", "assets"));
      expect(assets.some((name) => /^saccade\.strict.*\.wasm$/.test(name))).toBe(true);
      const script = assets.find((name) => name.endsWith(".js"))!;
      const code = readFileSync(join(folder, "bundle", "assets", script), "utf8");
      expect(code).toMatch(/saccade\.strict-?[\w-]*\.wasm/);
      expect(code).not.toMatch(/from\s*["']node:/);
      // What needs no operators does not bring along what makes init() load them.
      expect(/= *wantOperators\(/.test(code)).toBe(names.startsWith("GRU"));
    },
    LONG,
  );

  it(
    "bundles saccade/worker for a browser: the worker's script and its wasm come along, the page's stays small",
    async () => {
      writeFileSync(join(folder, "index.html"), '<!doctype html><script type="module" src="./app.js"></script>\n');
      writeFileSync(
        join(folder, "app.js"),
        'import { createWorkerEngine } from "saccade/worker";\nglobalThis.make = createWorkerEngine;\n',
      );
      const { build } = await import("vite");
      await build({
        root: folder,
        logLevel: "silent",
        configFile: false,
        worker: { format: "es" },
        build: { outDir: "bundle-worker", assetsInlineLimit: 0 },
      });
      const bundled = join(folder, "bundle-worker", "assets");
      const assets = readdirSync(bundled);
      const workers = assets.filter((name) => /worker-host-browser.*\.js$/.test(name));
      expect(workers.length).toBe(1);
      expect(assets.some((name) => /saccade\.strict.*\.wasm$/.test(name))).toBe(true);
      const page = new Set(assets.filter((name) => /^index.*\.js$/.test(name)));
      expect(page.size).toBe(1);
      for (const name of page) {
        const code = readFileSync(join(bundled, name), "utf8");
        for (const [, imported] of code.matchAll(/(?:from|import)\s*["'`]\.\/([^"'`]+)["'`]/g))
          page.add(imported ?? "");
      }
      const size = [...page].reduce((sum, name) => sum + gzipSync(readFileSync(join(bundled, name))).length, 0);
      expect(size).toBeLessThan(WORKER_PAGE_GZIP_LIMIT);
    },
    LONG,
  );
});
