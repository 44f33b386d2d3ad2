// Does a page keep its frames while a second of attention is computed?  node bench/frames.mjs [--only=chromium|firefox]
// A page asks for every animation frame and notes when it comes: while nothing happens, during attentionAsync, during a
// call to saccade/worker, and during the direct call. A frame is late that comes 25 ms or more after the one before it.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { engines } from "../tests/browser/engines.mjs";
import { delay, stopEverything } from "../tests/browser/processes.mjs";
import { serve } from "../tests/browser/server.mjs";

const root = fileURLToPath(new URL("../", import.meta.url));
const only = process.argv.find((arg) => arg.startsWith("--only="))?.slice(7);
if (process.argv.includes("--help")) {
  console.log("usage: node bench/frames.mjs [--only=chromium|firefox|webkitgtk]");
  process.exit(0);
}

const page = `<!doctype html><meta charset="utf-8"><title>Frames</title><script type="module">
  import * as saccade from "/plain/dist/browser.js";
  import { createWorkerEngine } from "/plain/dist/worker-browser.js";
  await saccade.init({ warmup: true });
  const remote = await createWorkerEngine({ warmup: true });
  const tensor = (length) => ({ data: Float32Array.from({ length: length * 512 }, (_, i) => Math.sin(i)), shape: [1, length, 8, 64] });
  const x = tensor(4096);
  const small = tensor(512);
  saccade.attention(small, small, small);
  async function frames(work) {
    const gaps = [];
    let last = await new Promise(requestAnimationFrame);
    let running = true;
    const note = (now) => {
      gaps.push(now - last);
      last = now;
      if (running) requestAnimationFrame(note);
    };
    requestAnimationFrame(note);
    const began = performance.now();
    await work();
    const ms = performance.now() - began;
    await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame);
    running = false;
    return { ms, frames: gaps.length, late: gaps.filter((gap) => gap >= 25).length, longest: Math.max(...gaps) };
  }
  const report = {};
  for (const [name, work] of [
    ["nothing", () => new Promise((resolve) => setTimeout(resolve, 1000))],
    ["attentionAsync", () => saccade.attentionAsync(x, x, x)],
    ["saccade/worker", () => remote.attention(x, x, x)],
    ["attention", () => saccade.attention(x, x, x)],
  ]) report[name] = await frames(work);
  globalThis.saccadeFrames = JSON.stringify(report);
</script>`;

const server = await serve({
  mounts: { "/plain/dist/": join(root, "dist") },
  answers: {
    "/plain/frames.html": { status: 200, headers: { "content-type": "text/html; charset=utf-8" }, body: page },
  },
});
try {
  for (const engine of engines) {
    if (only && engine.name.toLowerCase() !== only) continue;
    const executable = engine.find();
    if (!executable) {
      console.log(`SKIPPED ${engine.name}: not found (install with ${engine.install})`);
      continue;
    }
    const driver = await engine.start(executable);
    try {
      await driver.open(`${server.origin}/plain/frames.html`);
      let text;
      for (let tries = 0; !text && tries < 300; tries++) {
        await delay(100);
        text = await driver.read("saccadeFrames").catch(() => undefined);
      }
      if (!text) throw new Error(`${engine.name}: the page gives no report`);
      console.log(`${engine.name} ${driver.version}, 8 heads x 4,096 x 64`);
      for (const [name, { ms, frames, late, longest }] of Object.entries(JSON.parse(text))) {
        const share = ((100 * late) / frames).toFixed(1);
        console.log(
          `  ${name}: ${ms.toFixed(0)} ms, ${frames} frames, ${share} % late, longest gap ${longest.toFixed(1)} ms`,
        );
      }
    } finally {
      await driver.close();
    }
  }
} finally {
  await server.close();
  stopEverything();
}
process.exit(0);
