/** A session of onnxruntime on a model that is encoded here, and its operands. */
import { encodeModel, type Model } from "./onnx-model.ts";

export interface OrtTensor {
  readonly data: unknown;
  readonly dims: readonly number[];
  readonly type: string;
}

/** An operand of a session. */
export interface OrtOperand {
  readonly type: string;
  readonly data: unknown;
  readonly shape: readonly number[];
}

/** What is used of onnxruntime's interface, which is the same in its packages. */
export interface OnnxRuntime {
  readonly InferenceSession: {
    create(
      model: Uint8Array,
      options: object,
    ): Promise<{
      run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>>;
      release(): Promise<void>;
    }>;
  };
  /** Types and data are what each package's own types say, so that nothing is said of them here. */
  readonly Tensor: new (
    type: never,
    data: never,
    dims: readonly number[],
  ) => OrtTensor;
}

export interface OrtSession {
  run(): Promise<Record<string, OrtTensor>>;
  release(): Promise<void>;
}

/** A session whose operands are what they will be in every run. */
export async function openSession(
  ort: OnnxRuntime,
  model: Model,
  operands: Readonly<Record<string, OrtOperand>>,
  options: object = {},
): Promise<OrtSession> {
  const session = await ort.InferenceSession.create(encodeModel(model), { ...options, logSeverityLevel: 4 });
  const feeds = Object.fromEntries(
    Object.entries(operands).map(([name, { type, data, shape }]) => [
      name,
      new ort.Tensor(type as never, data as never, shape),
    ]),
  );
  return { run: () => session.run(feeds), release: () => session.release() };
}
