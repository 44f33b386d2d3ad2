// The frame of a suite that is a program of its own: whatever happens, what it started is stopped and the last line counts.

/**
 * @param {string} name - of the suite, as its last line has it
 * @param {() => Promise<number>} main - gives the exit code
 * @param {() => void} stop - ends what `main` has started; may be called more than once
 */
export async function runSuite(name, main, stop) {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => {
      stop();
      process.exit(1);
    });
  }
  process.on("exit", stop);

  const code = await main().catch((error) => {
    console.error(error);
    console.log(`${name}: 0 passed, 1 failed, 0 skipped`);
    return 1;
  });
  stop();
  process.exit(code);
}
