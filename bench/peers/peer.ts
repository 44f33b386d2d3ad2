/** What another library is given, and what it is asked. */

/** Operands as plain numbers; the same in every run. */
export interface Numbers {
  readonly data: Float32Array<ArrayBuffer>;
  readonly shape: number[];
}

/** Operands of additive attention. */
export type AdditiveInputs = Readonly<Record<"query" | "key" | "value" | "v", Numbers>>;

/** A peer with its operands in place. */
export interface Peer {
  readonly name: string;
  readonly call: () => void;
  readonly result: () => ArrayLike<number>;
}
