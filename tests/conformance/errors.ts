/** Calls that must be refused, each by its class and code; the engine works on and nothing was written. */
import { type Case, type Context, type Engine, type Library, ok, rejects, sameBits, throws } from "./harness.ts";

type Kind = "TypeError" | "RangeError" | "SaccadeError";

interface Tools {
  library: Library;
  engine: Engine;
  /** A correct operand of shape `[batch 1, length, heads 2, dim 4]`. */
  tensor(length?: number): { data: Float32Array<ArrayBuffer>; shape: number[] };
}

interface Refusal {
  name: string;
  kind: Kind;
  code: string;
  /** What the message has to name. */
  says?: RegExp;
  // biome-ignore lint/suspicious/noExplicitAny: a wrong call is the point.
  call(tools: Tools, attention: (...args: any[]) => unknown): unknown;
}

const refusals: Refusal[] = [
  {
    name: "Float64Array as a tensor",
    kind: "TypeError",
    code: "DTYPE",
    says: /query/,
    call: ({ tensor, engine }, attention) =>
      attention({ data: new Float64Array(8), shape: [1, 1, 2, 4] }, tensor(), tensor(), { engine }),
  },
  {
    name: "number[] as a tensor",
    kind: "TypeError",
    code: "DTYPE",
    call: ({ tensor, engine }, attention) =>
      attention({ data: [1, 2, 3, 4, 5, 6, 7, 8], shape: [1, 1, 2, 4] }, tensor(), tensor(), { engine }),
  },
  {
    name: "no tensor at all",
    kind: "TypeError",
    code: "ARGUMENT",
    says: /query/,
    call: ({ tensor, engine }, attention) => attention(undefined, tensor(), tensor(), { engine }),
  },
  {
    name: "head sizes that disagree",
    kind: "RangeError",
    code: "SHAPE",
    says: /attention: key\.shape\[3\].* 6.* 4/,
    call: ({ tensor, engine }, attention) =>
      attention(tensor(), { data: new Float32Array(36), shape: [1, 3, 2, 6] }, tensor(), { engine }),
  },
  {
    name: "key and value lengths that disagree",
    kind: "RangeError",
    code: "SHAPE",
    says: /value/,
    call: ({ tensor, engine }, attention) => attention(tensor(), tensor(3), tensor(4), { engine }),
  },
  {
    name: "query heads that are no multiple of the key heads",
    kind: "RangeError",
    code: "SHAPE",
    call: ({ tensor, engine }, attention) => {
      const three = { data: new Float32Array(36), shape: [1, 3, 3, 4] };
      return attention(three, tensor(), tensor(), { engine });
    },
  },
  {
    name: "a shape with more elements than its array",
    kind: "RangeError",
    code: "SHAPE",
    call: ({ tensor, engine }, attention) =>
      attention({ data: new Float32Array(7), shape: [1, 1, 2, 4] }, tensor(), tensor(), { engine }),
  },
  {
    name: "a negative size",
    kind: "RangeError",
    code: "SHAPE",
    call: ({ tensor, engine }, attention) =>
      attention({ data: new Float32Array(8), shape: [1, -1, 2, 4] }, tensor(), tensor(), { engine }),
  },
  {
    name: "sizes whose product passes 2^32",
    kind: "RangeError",
    code: "SHAPE",
    call: ({ tensor, engine }, attention) =>
      attention({ data: new Float32Array(8), shape: [65536, 65536, 2, 4] }, tensor(), tensor(), { engine }),
  },
  {
    name: "a last axis that is not contiguous",
    kind: "RangeError",
    code: "STRIDE",
    call: ({ tensor, engine }, attention) => {
      const strided = { data: new Float32Array(64), shape: [1, 3, 2, 4], strides: [48, 16, 8, 2] };
      return attention(strided, tensor(), tensor(), { engine });
    },
  },
  {
    name: "an unknown option",
    kind: "TypeError",
    code: "OPTION",
    says: /cusal/,
    call: ({ tensor, engine }, attention) => attention(tensor(), tensor(), tensor(), { cusal: true, engine }),
  },
  {
    name: "causal over unequal lengths without qOffset",
    kind: "TypeError",
    code: "OPTION",
    says: /qOffset/,
    call: ({ tensor, engine }, attention) => attention(tensor(2), tensor(3), tensor(3), { causal: true, engine }),
  },
  {
    name: "a scale that is not finite",
    kind: "RangeError",
    code: "RANGE",
    says: /scale/,
    call: ({ tensor, engine }, attention) => attention(tensor(), tensor(), tensor(), { scale: Number.NaN, engine }),
  },
  {
    name: "a kvLength beyond kvLen",
    kind: "RangeError",
    code: "RANGE",
    says: /kvLengths/,
    call: ({ tensor, engine }, attention) => attention(tensor(), tensor(), tensor(), { kvLengths: [4], engine }),
  },
  {
    name: "a fractional qOffset",
    kind: "RangeError",
    code: "RANGE",
    says: /qOffset/,
    call: ({ tensor, engine }, attention) =>
      attention(tensor(), tensor(), tensor(), { causal: true, qOffset: 0.5, engine }),
  },
  {
    name: "an out that overlaps the query",
    kind: "RangeError",
    code: "OVERLAP",
    call: ({ tensor, engine }, attention) => {
      const query = tensor();
      return attention(query, tensor(), tensor(), { out: query, engine });
    },
  },
  {
    name: "a detached buffer",
    kind: "SaccadeError",
    code: "DETACHED",
    call: ({ tensor, engine }, attention) => {
      const query = tensor();
      structuredClone(query.data, { transfer: [query.data.buffer] });
      return attention(query, tensor(), tensor(), { engine });
    },
  },
  {
    name: "a disposed tensor",
    kind: "SaccadeError",
    code: "DISPOSED",
    call: ({ library, tensor, engine }, attention) => {
      const query = library.Tensor.from(tensor(), { engine });
      query.dispose();
      query.dispose();
      return attention(query, tensor(), tensor(), { engine });
    },
  },
];

function refusalCase(refusal: Refusal): Case {
  return {
    name: `refused: ${refusal.name}`,
    async run(context: Context) {
      const { library } = context;
      const engine = await context.engine("strict");
      const tensor: Tools["tensor"] = (length = 3) => ({
        data: Float32Array.from({ length: length * 8 }, (_, i) => Math.sin(i + 1)),
        shape: [1, length, 2, 4],
      });
      const works = () => library.attention(tensor(), tensor(), tensor(), { engine }).out.data as Float32Array;
      const before = works();
      const { liveBytes, tensors } = engine.stats();
      const kind = { TypeError, RangeError, SaccadeError: library.SaccadeError }[refusal.kind];
      const error = throws(
        () => refusal.call({ library, engine, tensor }, library.attention as never),
        kind as new () => Error,
        `ERR_SACCADE_${refusal.code}`,
        refusal.name,
      );
      if (refusal.says) ok(refusal.says.test(error.message), `the message names too little: ${error.message}`);
      sameBits(works(), before, "result after the refusal");
      const after = engine.stats();
      ok(after.liveBytes === liveBytes && after.tensors === tensors, `${after.liveBytes - liveBytes} bytes were lost`);
    },
  };
}

const foreignCase: Case = {
  name: "refused: a tensor of another engine",
  async run({ library, engine }) {
    const mine = await engine("strict");
    const other = await library.createEngine();
    try {
      const plain = { data: new Float32Array(8), shape: [1, 1, 2, 4] };
      const query = library.Tensor.from(plain, { engine: other });
      throws(
        () => library.attention(query, plain, plain, { engine: mine }),
        library.SaccadeError as never,
        "ERR_SACCADE_FOREIGN",
        "attention",
      );
      query.dispose();
    } finally {
      other.dispose();
    }
  },
};

const fastCase: Case = {
  name: "the fast build runs where relaxed SIMD is, and is refused by name elsewhere",
  async run({ library, relaxedSimd }) {
    if (!relaxedSimd) {
      await rejects(
        library.createEngine({ build: "fast" }),
        library.SaccadeError as never,
        "ERR_SACCADE_UNSUPPORTED",
        "createEngine",
      );
      return;
    }
    const engine = await library.createEngine({ build: "fast" });
    try {
      ok(engine.stats().build === "fast", `build is ${engine.stats().build}`);
    } finally {
      engine.dispose();
    }
  },
};

export const errorCases: Case[] = [...refusals.map(refusalCase), foreignCase, fastCase];
