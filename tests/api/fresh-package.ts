/**
 * Fresh copies of the package, wasm to give them, and servers to fetch it from.
 */
import { readFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { expect, vi } from "vitest";
import { counted } from "./refusal.ts";

export type Package = typeof import("saccade");

export const wasmPath = fileURLToPath(new URL("../../dist/saccade.strict.wasm", import.meta.url));
export const wasmBytes = (name = "saccade.strict.wasm"): Uint8Array<ArrayBuffer> =>
  new Uint8Array(readFileSync(new URL(`../../dist/${name}`, import.meta.url)));
export const wasmModule = (): WebAssembly.Module => new WebAssembly.Module(wasmBytes());

export async function fresh(): Promise<Package> {
  vi.resetModules();
  return import("saccade");
}

export async function freshBrowser(): Promise<Package> {
  vi.resetModules();
  return (await import("../../dist/browser.js" as string)) as Package;
}

export async function served<T>(answer: RequestListener, use: (url: string) => Promise<T>): Promise<T> {
  const server = createServer(answer);
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  try {
    return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}/saccade.wasm`);
  } finally {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  }
}

export function works({ attention }: Package): void {
  const value = counted(1, 5);
  expect([...attention(counted(1, 3), counted(1, 3), value).out.data]).toEqual([...value.data]);
}

/** An operator of the second module gives what it must. */
export function calculates({ maskedSoftmax }: Package): void {
  expect([...maskedSoftmax({ data: new Float32Array(4), shape: [4] }).data]).toEqual([0.25, 0.25, 0.25, 0.25]);
}

/** The error of a promise that must reject. */
export async function rejection(promise: Promise<unknown>): Promise<Error & { code?: string }> {
  return promise.then(
    () => expect.unreachable("the promise must reject"),
    (error) => error,
  );
}
