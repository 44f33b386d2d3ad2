// How each browser engine is found, started and asked. Every driver opens one page and polls one expression;
// those by puppeteer also give the page itself, to press buttons of.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import puppeteer from "puppeteer-core";
import { delay, findExecutable, removeFolder, start, stop, temporaryFolder, within } from "./processes.mjs";

const START_LIMIT = 60_000;
const ANSWER_LIMIT = 20_000;

const quietChromium = [
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

function puppeteerDriver(label, options) {
  return async (executablePath) => {
    const profile = temporaryFolder("saccade-browser-");
    const browser = await puppeteer.launch({
      ...options,
      executablePath,
      headless: true,
      userDataDir: profile,
      timeout: START_LIMIT,
      protocolTimeout: ANSWER_LIMIT,
    });
    const close = async () => {
      const child = browser.process();
      try {
        await within(10_000, `${label} closing`, browser.close());
      } catch {
        child?.kill("SIGKILL");
      }
      removeFolder(profile);
    };
    try {
      const page = await browser.newPage();
      const version = (await browser.version()).replace(/^.*\//, "");
      return {
        version,
        open: (url) => page.goto(url, { timeout: ANSWER_LIMIT, waitUntil: "load" }),
        /** The JSON text that the page left under `name`, or null. */
        read: (name) => page.evaluate((key) => globalThis[key] ?? null, name),
        /** The page itself, for a test that presses buttons. */
        page,
        close,
      };
    } catch (error) {
      await close();
      throw error;
    }
  };
}

async function webdriver(base, method, path, body, limit = ANSWER_LIMIT) {
  const response = await fetch(base + path, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    signal: AbortSignal.timeout(limit),
  });
  const { value } = await response.json();
  if (!response.ok) throw new Error(`WebDriver ${method} ${path}: ${value?.error}: ${value?.message}`);
  return value;
}

/** An X display without a screen: Xvfb picks a free number and writes it to descriptor 3. */
async function virtualDisplay() {
  const program = findExecutable([process.env.XVFB_BIN, "Xvfb"]);
  if (!program) throw new Error("Xvfb not found");
  const args = ["-displayfd", "3", "-screen", "0", "1024x768x24", "-nolisten", "tcp"];
  const child = start(program, args, { stdio: ["ignore", "ignore", "ignore", "pipe"] });
  const number = await within(
    START_LIMIT,
    "Xvfb",
    new Promise((resolve, reject) => {
      child.once("exit", (code) => reject(new Error(`Xvfb ended with code ${code}`)));
      let text = "";
      child.stdio[3].on("data", (chunk) => {
        text += chunk;
        if (text.includes("\n")) resolve(text.trim());
      });
    }),
  );
  return { child, display: `:${number}` };
}

/** MiniBrowser lies in the library folder of WebKitGTK, which is not on PATH. */
export function findMiniBrowser() {
  const given = process.env.WEBKIT_BROWSER;
  if (given) return given;
  const folders = ["/usr/lib", "/usr/lib64", "/usr/libexec", "/usr/local/lib"];
  for (const folder of folders) {
    if (!existsSync(folder)) continue;
    const inner = readdirSync(folder).map((name) => join(folder, name));
    for (const base of [folder, ...inner]) {
      for (const name of ["webkit2gtk-4.1", "webkitgtk-6.0", "webkit2gtk-4.0"]) {
        const path = join(base, name, "MiniBrowser");
        if (existsSync(path)) return path;
      }
    }
  }
  return undefined;
}

async function freePort() {
  const { createServer } = await import("node:net");
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function webkitDriver(executablePath) {
  const started = [];
  let base;
  let session;
  const close = async () => {
    if (session) await webdriver(base, "DELETE", `/session/${session}`, undefined, 5_000).catch(() => {});
    for (const child of started.reverse()) stop(child);
  };
  try {
    const binary = findMiniBrowser();
    if (!binary) throw new Error("MiniBrowser of WebKitGTK not found (set WEBKIT_BROWSER)");
    const screen = await virtualDisplay();
    started.push(screen.child);
    const port = await freePort();
    const environment = { ...process.env, DISPLAY: screen.display, WEBKIT_DISABLE_COMPOSITING_MODE: "1" };
    started.push(start(executablePath, [`--port=${port}`], { env: environment, stdio: "ignore" }));
    base = `http://127.0.0.1:${port}`;
    const limit = Date.now() + START_LIMIT;
    for (;;) {
      const status = await webdriver(base, "GET", "/status", undefined, 2_000).catch(() => null);
      if (status?.ready) break;
      if (Date.now() > limit) throw new Error("WebKitWebDriver does not answer");
      await delay(50);
    }
    const capabilities = { alwaysMatch: { "webkitgtk:browserOptions": { binary, args: ["--automation"] } } };
    const created = await webdriver(base, "POST", "/session", { capabilities }, START_LIMIT);
    session = created.sessionId;
    const path = `/session/${session}`;
    return {
      version: created.capabilities.browserVersion,
      open: (url) => webdriver(base, "POST", `${path}/url`, { url }),
      read: (name) =>
        webdriver(base, "POST", `${path}/execute/sync`, {
          script: "return globalThis[arguments[0]] ?? null",
          args: [name],
        }),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

const asRoot = process.getuid?.() === 0;

/** `find` gives the executable or undefined; `start(executable)` gives { version, open, read, close }. */
export const engines = [
  {
    name: "Chromium",
    install: "apt-get install chromium, or set CHROMIUM_BIN",
    find: () => findExecutable([process.env.CHROMIUM_BIN, "chromium", "chromium-browser", "google-chrome"]),
    start: puppeteerDriver("Chromium", {
      browser: "chrome",
      args: [...quietChromium, ...(asRoot ? ["--no-sandbox"] : [])],
    }),
  },
  {
    name: "Firefox",
    install: "apt-get install firefox-esr, or set FIREFOX_BIN",
    find: () => findExecutable([process.env.FIREFOX_BIN, "firefox-esr", "firefox"]),
    start: puppeteerDriver("Firefox", { browser: "firefox" }),
  },
  {
    name: "WebKitGTK",
    install: "apt-get install webkit2gtk-driver xvfb, or set WEBKIT_DRIVER",
    find: () => {
      const driver = findExecutable([process.env.WEBKIT_DRIVER, "WebKitWebDriver"]);
      const screen = findExecutable([process.env.XVFB_BIN, "Xvfb"]);
      return driver && screen && findMiniBrowser() ? driver : undefined;
    },
    start: webkitDriver,
  },
];
