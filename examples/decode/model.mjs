// @ts-check
/**
 * A decoder as small as one can be and still be one: embedding, layers of grouped-query attention with rotary positions and of
 * a feed-forward network, logits. Its weights are fixed random numbers: it has learned nothing.
 */
import { attention, KvCache, linear, rope, Tensor } from "saccade";

export const CHARACTERS = "abcdefghijklmnopqrstuvwxyz .,;:-'\"?!()";

const DIM = 128;
const HEADS = 8;
const KV_HEADS = 2;
const HEAD_DIM = DIM / HEADS;
const HIDDEN = 256;

/** @typedef {import("saccade").PlainTensor<"float32">} Plain */
/** @typedef {{ query: Tensor, key: Tensor, value: Tensor, out: Tensor, up: Tensor, down: Tensor }} Layer */

export class Decoder {
  /** @type {Layer[]} */
  #layers;
  #embedding;
  #seed = 1;

  /** @param {number} layers */
  constructor(layers) {
    this.#embedding = this.#random(CHARACTERS.length, DIM);
    this.#layers = Array.from({ length: layers }, () => ({
      query: this.#random(DIM, DIM),
      key: this.#random(KV_HEADS * HEAD_DIM, DIM),
      value: this.#random(KV_HEADS * HEAD_DIM, DIM),
      out: this.#random(DIM, DIM),
      up: this.#random(HIDDEN, DIM),
      down: this.#random(DIM, HIDDEN),
    }));
  }

  get words() {
    return `${this.#layers.length} layers, ${DIM} wide, ${HEADS} heads over ${KV_HEADS} of keys and values, ${CHARACTERS.length} tokens`;
  }

  /** A cache for each layer. @param {number} capacity */
  newCaches(capacity) {
    const sizes = { batch: 1, numKvHeads: KV_HEADS, headDim: HEAD_DIM, capacity, rope: {} };
    return this.#layers.map(() => new KvCache(sizes));
  }

  /**
   * Logits of the last of some tokens. With caches they are the next tokens of those the caches hold, else all there are.
   *
   * @param {readonly number[]} tokens
   * @param {readonly KvCache[]} [caches]
   */
  logits(tokens, caches) {
    const n = tokens.length;
    const table = this.#embedding.view();
    let x = plain([n, DIM]);
    tokens.forEach((token, i) => {
      x.data.set(table.subarray(token * DIM, (token + 1) * DIM), i * DIM);
    });
    this.#layers.forEach((layer, index) => {
      const query = shaped(linear(x, layer.query), [1, n, HEADS, HEAD_DIM]);
      const key = shaped(linear(x, layer.key), [1, n, KV_HEADS, HEAD_DIM]);
      const value = shaped(linear(x, layer.value), [1, n, KV_HEADS, HEAD_DIM]);
      const cache = caches?.[index];
      cache?.append(key, value);
      const { out } = cache ? cache.attend(query) : attention(rope(query), rope(key), value, { causal: true });
      x = sum(x, linear(shaped(/** @type {Plain} */ (out), [n, DIM]), layer.out, { activation: "tanh" }));
      x = sum(x, linear(linear(x, layer.up, { activation: "silu" }), layer.down, { activation: "tanh" }));
    });
    return linear(plain([1, DIM], x.data.slice((n - 1) * DIM)), this.#embedding).data;
  }

  /** Rows of numbers from -1 to 1, divided by the root of their width. @param {number} rows @param {number} width */
  #random(rows, width) {
    const tensor = Tensor.zeros([rows, width]);
    const data = tensor.view();
    for (let i = 0; i < data.length; i++) {
      this.#seed = (Math.imul(this.#seed, 1664525) + 1013904223) >>> 0;
      data[i] = ((this.#seed / 2 ** 31 - 1) * 3) / 2 ** Math.ceil(Math.log2(width) / 2);
    }
    return tensor;
  }
}

/** @param {number[]} shape @param {Float32Array<ArrayBuffer>} [data] @returns {Plain} */
function plain(shape, data = new Float32Array(shape.reduce((a, b) => a * b, 1))) {
  return { data, shape, dtype: "float32" };
}

/** @param {Plain} tensor @param {number[]} shape */
const shaped = ({ data }, shape) => plain(shape, data);

/** @param {Plain} a @param {Plain} b */
const sum = (a, b) =>
  plain(
    a.shape,
    a.data.map((x, i) => x + /** @type {number} */ (b.data[i])),
  );
