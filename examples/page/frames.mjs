// @ts-check
/** An animation that tells how it fares: it looks at every frame, so that a thread that is busy shows. */

/** @typedef {{ count: number, longest: number }} Frames how many came, and the longest time from one to the next in milliseconds */

/**
 * Moves an element to and fro for ever.
 *
 * @param {HTMLElement} element
 * @param {HTMLElement} track
 */
export function animate(element, track) {
  /** @param {number} now */
  const draw = (now) => {
    const room = track.clientWidth - element.clientWidth;
    element.style.transform = `translateX(${(room * (1 - Math.cos(now / 400))) / 2}px)`;
    requestAnimationFrame(draw);
  };
  requestAnimationFrame(draw);
}

/**
 * Watches the frames from now on.
 *
 * @returns {Promise<() => Promise<Frames>>} what ends the watch, after the frame in which the work ended has come
 */
export async function watchFrames() {
  // The first one to come may have been due while the caller was still busy.
  await nextFrame();
  let last = await nextFrame();
  let [count, longest, running] = [0, 0, true];
  /** @param {number} now */
  const note = (now) => {
    count += 1;
    longest = Math.max(longest, now - last);
    last = now;
    if (running) requestAnimationFrame(note);
  };
  requestAnimationFrame(note);
  return async () => {
    await nextFrame();
    await nextFrame();
    running = false;
    return { count, longest };
  };
}

/** @returns {Promise<number>} */
function nextFrame() {
  return new Promise((resolve) => requestAnimationFrame(resolve));
}
