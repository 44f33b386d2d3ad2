// A static server on the loopback: folders are mounted under prefixes; all but /plain/ is cross-origin isolated.
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";

const types = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".css": "text/css; charset=utf-8",
  ".wasm": "application/wasm",
};

const isolation = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
};

const policy = (script) => ({
  "content-security-policy": `default-src 'none'; script-src ${script}; connect-src 'self'; style-src 'self'`,
});

/**
 * `mounts` maps a URL prefix to a folder; `answers` maps an exact path to { status, headers, body }. Port 0: any that is free.
 * Pages under `/strict/` and `/plain/`, which is not isolated, allow wasm and nothing else that evaluates; pages under `/forbidden/`
 * do not even allow wasm.
 */
export async function serve({ mounts, answers, port = 0 }) {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const plain = pathname.startsWith("/plain/");
    const given = answers[pathname];
    if (given) {
      response.writeHead(given.status, { ...(plain ? {} : isolation), ...given.headers }).end(given.body);
      return;
    }
    const prefix = Object.keys(mounts).find((key) => pathname.startsWith(key));
    const rest = prefix && decodeURIComponent(pathname.slice(prefix.length));
    const path =
      prefix && join(mounts[prefix], normalize(rest === "" || rest.endsWith("/") ? `${rest}index.html` : rest));
    const inside = path?.startsWith(mounts[prefix] + sep);
    const found = inside && statSync(path, { throwIfNoEntry: false })?.isFile();
    if (!found) {
      response.writeHead(404, { ...isolation, "content-type": "text/plain" }).end("not found");
      return;
    }
    const security =
      plain || pathname.startsWith("/strict/")
        ? policy("'self' 'wasm-unsafe-eval'; worker-src 'self'")
        : pathname.startsWith("/forbidden/")
          ? policy("'self'")
          : {};
    const type = types[extname(path)] ?? "application/octet-stream";
    response.writeHead(200, { ...(plain ? {} : isolation), ...security, "content-type": type });
    createReadStream(path).pipe(response);
  });
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    origin: `http://localhost:${server.address().port}`,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
