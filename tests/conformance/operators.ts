/** Every recorded call of an operator gives its recorded bits: at the wasm's own boundary, without the package around it. */
import { OPERATOR_BYTE_LENGTH, readPlan, writeOperator, writeScratch } from "../../ts/wasm/operator-block.ts";
import { hashOf } from "../vectors/hash.ts";
import { elementsOf, OPERATOR_FILES, type OperatorCase, type OperatorFile } from "../vectors/operator-case.ts";
import { instantiate, type Kernel } from "./functions.ts";
import { type Case, type Context, equal } from "./harness.ts";

/** Kind 4 of the wasm's dispatch. */
const KIND_OPERATOR = 4;

const align = (n: number): number => Math.ceil(n / 64) * 64;

/** Runs one call on a bare instance; the hash of each output, empty for an absent one. */
export async function callOperator(kernel: Kernel, call: OperatorCase): Promise<string[]> {
  const block = align(kernel.heap_base() >>> 0);
  let end = block + align(OPERATOR_BYTE_LENGTH);
  const take = (byteLength: number): number => {
    const address = end;
    end = align(end + byteLength);
    const missing = end - kernel.memory.buffer.byteLength;
    if (missing > 0) kernel.memory.grow(Math.ceil(missing / 65536));
    return address;
  };
  const inputs = call.inputs.map((operand) => {
    const data = elementsOf(operand);
    if (data === undefined || operand.dtype === "absent") return undefined;
    const address = take(data.byteLength);
    new Uint8Array(kernel.memory.buffer, address, data.byteLength).set(new Uint8Array(data.buffer));
    return { address, dtype: operand.dtype, elements: data.length };
  });
  const outputs = call.outputs.map(({ dtype, count = 0 }) =>
    dtype === "absent" ? undefined : { address: take(4 * count), dtype, elements: count },
  );
  const words = (): { u32: Uint32Array; f64: Float64Array } => {
    const { buffer } = kernel.memory;
    return { u32: new Uint32Array(buffer), f64: new Float64Array(buffer) };
  };
  const { integers, floats = [] } = call;
  writeOperator(words(), block, call.operator, { integers, floats, inputs, outputs });
  equal(kernel.plan(KIND_OPERATOR, block), 0, "status of plan");
  const { scratchByteLength, tiles } = readPlan(words().u32, block);
  const scratch = take(scratchByteLength);
  writeScratch(words().u32, block, scratch, scratchByteLength);
  tiles.forEach((count, phase) => {
    // The last tile first, each in a call of its own: tiles do not depend on each other.
    for (let tile = count - 1; tile >= 0; tile--) {
      equal(kernel.run(KIND_OPERATOR, phase, block, 0, tile, tile + 1), 0, `status of run, phase ${phase}`);
    }
  });
  return Promise.all(
    outputs.map((output) =>
      output === undefined ? "" : hashOf(new Float32Array(kernel.memory.buffer, output.address, output.elements)),
    ),
  );
}

export async function operatorCases(load: Context["load"]): Promise<Case[]> {
  const files = await Promise.all(
    OPERATOR_FILES.map(async (name) => ({ name, file: (await load(`operators/${name}.json`)) as OperatorFile })),
  );
  return files.flatMap(({ name, file }) =>
    file.cases.map((call) => ({
      name: `operator ${name}: ${call.id}`,
      async run({ wasm }: Context) {
        const kernel = await instantiate(await wasm("strict", "operators"));
        const hashes = await callOperator(kernel, call);
        hashes.forEach((hash, output) => {
          equal(hash, call.sha256?.[output], `hash of output ${output}`);
        });
      },
    })),
  );
}
