/**
 * `saccade/interop`: tensors from and to other systems' files.
 *
 * @module
 */
export type {
  Safetensors,
  SafetensorsDType,
  SafetensorsInput,
  SafetensorsTensor,
} from "./safetensors.ts";
export { readSafetensors, writeSafetensors } from "./safetensors.ts";
