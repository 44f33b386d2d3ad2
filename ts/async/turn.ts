/**
 * A turn of the event loop: everything else that waits (frames, input, messages, timers) comes first. Timers would do,
 * but browsers hold them back to 4 ms.
 *
 * On a page that shows itself, messages alone are not enough: Firefox lets them pass before frames (five of six frames came late).
 * So who has worked for most of a frame waits for the next one.
 */

type Resume = () => void;

/** Of the 16.7 ms of a frame, what is worked before the next one is waited for. */
const WORKED_MS = 12;
/** A page whose frames do not come within this (scrolled away, covered) is not waited for until one does. */
const NO_FRAMES_MS = 100;

const waiting: Resume[] = [];
let port: MessagePort | undefined;
/** When the last frame came that was waited for, and when the last turn began. */
let framed = 0;
let turned = 0;
let asked = false;

/** Comes back after other tasks have had their turn. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === "function") setImmediate(resolve);
    else if (frameIsDue()) frame(() => post(resolve));
    else post(resolve);
  });
}

function frameIsDue(): boolean {
  const now = performance.now();
  // Nothing worked for a while: frames came by themselves.
  if (now - turned > NO_FRAMES_MS) framed = now;
  turned = now;
  return now - framed >= WORKED_MS && !asked && globalThis.document?.visibilityState === "visible";
}

/** Goes on behind the next frame, since what runs in its callback would still delay it. */
function frame(then: Resume): void {
  let resume: Resume | undefined = then;
  const come = () => {
    framed = turned = performance.now();
    resume?.();
    resume = undefined;
  };
  const timer = setTimeout(come, NO_FRAMES_MS);
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    clearTimeout(timer);
    come();
  });
}

function post(resume: Resume): void {
  if (port === undefined) {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => waiting.shift()?.();
    port = channel.port2;
  }
  waiting.push(resume);
  port.postMessage(undefined);
}
