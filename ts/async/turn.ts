/**
 * A turn of the event loop: everything else that waits (frames, input, messages, timers) comes first. Timers would do,
 * but browsers hold them back to 4 ms.
 */

type Resume = () => void;

const waiting: Resume[] = [];
let port: MessagePort | undefined;

/** Comes back after other tasks have had their turn. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === "function") setImmediate(resolve);
    else post(resolve);
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
