// Order, abort, transfer and progress of calls, against a worker that answers when the test says so.
import { createWorkerEngine, type WorkerEngine, type WorkerEngineOptions } from "saccade/worker";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { encode } from "../../ts/worker/encode.ts";
import type { Request } from "../../ts/worker/wire.ts";
import { counted } from "./cases.ts";
import { refusal, turn } from "./expected.ts";

type CallRequest = Extract<Request, { saccade: "call" }>;

/** A worker in name only: keeps what it is sent, says what it is told to. */
class Puppet {
  readonly received: Request[] = [];
  readonly transferred: ArrayBuffer[] = [];
  ended = false;
  #listeners = new Map<string, (value: unknown) => void>();

  on(name: string, listener: (value: unknown) => void): void {
    this.#listeners.set(name, listener);
  }

  postMessage(message: Request, transfer: ArrayBuffer[]): void {
    this.received.push(structuredClone(message, { transfer }));
    this.transferred.push(...transfer);
  }

  terminate(): void {
    this.ended = true;
  }

  emit(name: string, value: unknown): void {
    this.#listeners.get(name)?.(value);
  }

  say(answer: object): void {
    this.emit("message", answer);
  }

  get calls(): CallRequest[] {
    return this.received.filter((request) => request.saccade === "call");
  }

  answer(call: CallRequest, value: unknown): void {
    this.say({
      saccade: "result",
      id: call.id,
      value: encode([["", value]], () => undefined, "give", ""),
      state: undefined,
    });
  }
}

let puppet: Puppet;
let remote: WorkerEngine;

function options(): WorkerEngineOptions {
  puppet = new Puppet();
  return { createWorker: () => puppet as never };
}

beforeEach(async () => {
  const making = createWorkerEngine(options());
  await turn();
  puppet.say({ saccade: "hello", protocol: 1 });
  puppet.say({ saccade: "ready", build: "strict", numerics: "saccade-attn-f32-v1" });
  remote = await making;
});
afterEach(() => remote.dispose());

const x = () => counted(2, 3);
const call = (options: object = {}) => remote.linear(x(), x(), options);

describe("calls", () => {
  it("are posted one at a time, in their order", async () => {
    const results = [call(), call(), call()];
    const settled: number[] = [];
    results.forEach((result, index) => void result.then(() => settled.push(index)));
    for (const done of [0, 1, 2]) {
      expect(puppet.calls.length).toBe(done + 1);
      puppet.answer(puppet.calls[done]!, done);
      await turn();
      expect(settled.length).toBe(done + 1);
    }
    expect(settled).toEqual([0, 1, 2]);
    expect(await Promise.all(results)).toEqual([0, 1, 2]);
  });

  it("read their arguments before they return: later changes do not count", async () => {
    const given = x();
    call();
    const second = remote.linear(given, x());
    given.data.fill(9);
    given.shape[0] = 77;
    puppet.answer(puppet.calls[0]!, 0);
    const { args } = puppet.calls[1]!;
    expect(new Float32Array(args.buffers[0]!)).toEqual(x().data);
    expect(JSON.stringify(args.nodes)).not.toContain("77");
    puppet.answer(puppet.calls[1]!, 1);
    await second;
  });

  it("send no byte that no argument reaches, and what is shared once", () => {
    const data = new Float32Array(1000);
    const part = data.subarray(100, 106);
    remote.linear({ data: part, shape: [2, 3] }, { data: part, shape: [2, 3] }).catch(() => {});
    const { buffers } = puppet.calls[0]!.args;
    expect(buffers.map(({ byteLength }) => byteLength)).toEqual([24]);
    expect(data.length).toBe(1000);
  });

  it("with transfer: true move whole buffers, at once, also where the call waits or is refused", async () => {
    call();
    const given = x();
    const before = given.data.buffer;
    const waiting = remote.linear(given, given, { transfer: true });
    expect(before.byteLength).toBe(0);
    expect(given.data.length).toBe(0);
    puppet.answer(puppet.calls[0]!, 0);
    expect(puppet.calls[1]!.args.buffers.map(({ byteLength }) => byteLength)).toEqual([24]);
    puppet.answer(puppet.calls[1]!, 1);
    await waiting;
  });

  it("copy what cannot be moved: shared buffers, and the memory of a wasm instance", () => {
    const arrays = [
      new Float32Array(new SharedArrayBuffer(24)),
      new Float32Array(new WebAssembly.Memory({ initial: 1 }).buffer, 0, 6),
    ];
    const [shared, memory] = arrays.map((data) => ({ data, shape: [2, 3] }));
    remote.linear(shared!, memory!, { transfer: true }).catch(() => {});
    expect(arrays.map(({ length }) => length)).toEqual([6, 6]);
    expect(puppet.calls[0]!.args.buffers.map(({ byteLength }) => byteLength)).toEqual([24, 24]);
  });
});

describe("abort", () => {
  const reason = new Error("enough");

  it("before the call: nothing is sent", async () => {
    await expect(call({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(puppet.calls).toEqual([]);
  });

  it("of a call that waits: it is never sent, the others are", async () => {
    const abort = new AbortController();
    const first = call();
    const second = call({ signal: abort.signal });
    const third = call();
    abort.abort(reason);
    await expect(second).rejects.toBe(reason);
    puppet.answer(puppet.calls[0]!, 1);
    puppet.answer(puppet.calls[1]!, 3);
    expect(await Promise.all([first, third])).toEqual([1, 3]);
    expect(puppet.calls.length).toBe(2);
  });

  it("of a call that runs: rejects at once, tells the worker, and waits for its word before the next", async () => {
    const abort = new AbortController();
    const first = call({ signal: abort.signal });
    const second = call();
    abort.abort(reason);
    await expect(first).rejects.toBe(reason);
    expect(puppet.received.at(-1)).toEqual({ saccade: "abort", id: puppet.calls[0]!.id });
    expect(puppet.calls.length).toBe(1);
    puppet.answer(puppet.calls[0]!, "late");
    puppet.answer(puppet.calls[1]!, 2);
    expect(await second).toBe(2);
  });

  it("of a call that has made something: that is given back", async () => {
    const abort = new AbortController();
    const making = remote.Tensor.from(x(), { signal: abort.signal });
    abort.abort(reason);
    await expect(making).rejects.toBe(reason);
    const facts = { shape: [2, 3], dtype: "float32" };
    const nodes = [
      { kind: "list", items: [{ at: 1 }] },
      { kind: "handle", of: "Tensor", id: 5, facts },
    ];
    puppet.say({
      saccade: "result",
      id: puppet.calls[0]!.id,
      value: { root: { at: 0 }, nodes, buffers: [] },
      state: undefined,
    });
    expect(puppet.received.at(-1)).toEqual({ saccade: "release", handle: 5 });
  });

  it("after the answer: nothing happens", async () => {
    const abort = new AbortController();
    const result = call({ signal: abort.signal });
    puppet.answer(puppet.calls[0]!, 1);
    abort.abort(reason);
    expect(await result).toBe(1);
    expect(puppet.received.some(({ saccade }) => saccade === "abort")).toBe(false);
  });

  it("controls of the wrong kind are refused", async () => {
    await expect(call({ signal: 5 })).rejects.toEqual(refusal("ARGUMENT"));
    await expect(call({ onProgress: 5 })).rejects.toEqual(refusal("ARGUMENT"));
    await expect(call({ transfer: 1 })).rejects.toEqual(refusal("ARGUMENT"));
  });
});

describe("progress", () => {
  it("is passed on while the call runs", async () => {
    const seen: unknown[] = [];
    const result = call({ onProgress: (progress: unknown) => seen.push(progress) });
    const { id, reports } = puppet.calls[0]!;
    expect(reports).toBe(true);
    puppet.say({ saccade: "progress", id, done: 1, total: 2 });
    puppet.answer(puppet.calls[0]!, 1);
    puppet.say({ saccade: "progress", id, done: 2, total: 2 });
    await result;
    expect(seen).toEqual([{ done: 1, total: 2 }]);
  });

  it("stops the call where it throws", async () => {
    const thrown = new Error("no more");
    const result = call({
      onProgress() {
        throw thrown;
      },
    });
    const { id } = puppet.calls[0]!;
    puppet.say({ saccade: "progress", id, done: 1, total: 2 });
    await expect(result).rejects.toBe(thrown);
    expect(puppet.received.at(-1)).toEqual({ saccade: "abort", id });
  });
});

describe("the end", () => {
  it("dispose rejects what has not been answered, and all that comes later", async () => {
    const pending = [call(), call()];
    remote.dispose();
    remote.dispose();
    for (const each of pending) await expect(each).rejects.toEqual(refusal("DISPOSED"));
    await expect(call()).rejects.toEqual(refusal("DISPOSED"));
    expect([puppet.ended, remote.disposed]).toEqual([true, true]);
  });

  it.each([
    ["error", new Error("it broke"), /it threw/],
    ["exit", 3, /ended with code 3/],
    ["messageerror", new Error("unreadable"), /could not be read/],
  ])(
    "a worker lost by %s rejects what has not been answered, and all that comes later",
    async (event, value, words) => {
      const pending = [call(), call()];
      puppet.emit(event, value);
      for (const each of pending) {
        await expect(each).rejects.toEqual(
          expect.objectContaining({ code: "ERR_SACCADE_WORKER", message: expect.stringMatching(words) }),
        );
      }
      await expect(call()).rejects.toEqual(refusal("WORKER"));
      expect([puppet.ended, remote.disposed]).toEqual([true, true]);
    },
  );

  it("what is not ours is not listened to", async () => {
    const result = call();
    for (const noise of [undefined, null, "hello", { id: 1 }, { saccade: "result", id: 999 }])
      puppet.emit("message", noise);
    puppet.answer(puppet.calls[0]!, 1);
    expect(await result).toBe(1);
  });
});
