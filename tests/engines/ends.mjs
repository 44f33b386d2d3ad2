// Threads that are still there do not keep a program from ending.
import { attention, init } from "saccade";

const engine = await init({ threads: 3 });
const x = { data: new Float32Array(512 * 256).fill(1), shape: [1, 512, 4, 64] };
console.log(engine.stats().threads, attention(x, x, x).out.data[0]);
