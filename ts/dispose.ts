/// <reference lib="esnext.disposable" preserve="true" />

/**
 * The key of the method that `using` calls. Where the engine has no `Symbol.dispose` this is
 * `Symbol.for("Symbol.dispose")`, the key that compilers and polyfills agree on; globals are left alone.
 */
export const disposeKey: typeof Symbol.dispose =
  Symbol.dispose ?? (Symbol.for("Symbol.dispose") as unknown as typeof Symbol.dispose);
