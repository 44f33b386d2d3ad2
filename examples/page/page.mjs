// @ts-check
/** The page: a dot that moves, buttons that compute, and what became of the frames meanwhile. */
import { animate, watchFrames } from "./frames.mjs";
import { bitsOf, paintRows, prepare, threadsMissing, ways } from "./ways.mjs";

/** @template {typeof HTMLElement} T @param {string} id @param {T} type @returns {InstanceType<T>} */
function byId(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`there is no ${id}`);
  return /** @type {InstanceType<T>} */ (element);
}

const rowsInput = byId("rows", HTMLInputElement);
const cancel = byId("cancel", HTMLButtonElement);
const progress = byId("progress", HTMLProgressElement);
const status = byId("status", HTMLElement);
const missing = threadsMissing();
const names = /** @type {(keyof typeof ways)[]} */ (Object.keys(ways));
const buttons = names.map((name) => ({ name, button: byId(name, HTMLButtonElement) }));

/** @param {boolean} busy */
function setBusy(busy) {
  for (const { name, button } of buttons) button.disabled = busy || (name === "threads" && missing !== undefined);
  cancel.disabled = !busy;
}

/** @param {keyof typeof ways} name */
async function run(name) {
  const abort = new AbortController();
  const onCancel = () => abort.abort();
  const rows = paintRows(rowsInput.valueAsNumber);
  setBusy(true);
  cancel.addEventListener("click", onCancel);
  progress.value = 0;
  status.textContent = "computing";
  const framesUntil = await watchFrames();
  const began = performance.now();
  let told;
  try {
    const onProgress = (/** @type {import("saccade").Progress} */ { done, total }) => {
      progress.value = done / total;
    };
    const { data } = await ways[name](rows, { signal: abort.signal, onProgress });
    told = `done, bits ${bitsOf(data)}`;
  } catch (error) {
    told = abort.signal.aborted ? "cancelled" : `failed: ${error}`;
  }
  const milliseconds = performance.now() - began;
  const { count, longest } = await framesUntil();
  cancel.removeEventListener("click", onCancel);
  setBusy(false);
  status.textContent = `${told}; ${milliseconds.toFixed(0)} ms, ${count} frames, the longest gap ${longest.toFixed(1)} ms`;
}

animate(byId("dot", HTMLElement), byId("track", HTMLElement));
for (const { name, button } of buttons) button.addEventListener("click", () => run(name));
byId("isolation", HTMLElement).textContent =
  missing === undefined
    ? "This page is cross-origin isolated: threads can share memory."
    : `No threads here (${missing}): the worker works all the same.`;
await prepare();
setBusy(false);
status.textContent = "ready";
