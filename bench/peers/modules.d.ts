// What is used of packages that are installed in this folder alone.

declare module "onnxruntime-web/wasm" {
  type Ort = import("./onnxruntime.ts").OnnxRuntime & {
    readonly env: {
      readonly versions: { readonly web: string };
      readonly wasm: { numThreads: number; wasmPaths?: string };
    };
  };
  const ort: Ort;
  export = ort;
}

declare module "onnxruntime-node" {
  type Ort = import("./onnxruntime.ts").OnnxRuntime & {
    readonly env: { readonly versions: { readonly node: string } };
  };
  const ort: Ort;
  export = ort;
}

declare module "@tensorflow/tfjs-core" {
  const tf: import("./tensorflow.ts").TensorFlow;
  export = tf;
}

declare module "@tensorflow/tfjs-backend-wasm" {
  const wasm: import("./tensorflow.ts").TensorFlowWasm;
  export = wasm;
}

declare module "@jax-js/jax" {
  const jax: import("./jax.ts").Jax;
  export = jax;
}
