// Chromium, and a server on this machine for the pages it opens.
import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { chromium } from "playwright-core";

const EXECUTABLE = "/usr/bin/chromium";
const TYPES = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
  ".css": "text/css",
  ".json": "application/json",
};

/** With what else Chromium is to be told. */
export function launch(...args) {
  if (!existsSync(EXECUTABLE)) throw new Error(`${EXECUTABLE} is missing: run '.ci/install chromium'`);
  return chromium.launch({
    executablePath: EXECUTABLE,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...args,
    ],
  });
}

/**
 * Serves folders by their prefix, and texts by their path: `serve({ "/pkg/": folder, "/page.html": "<!doctype html>" })`; a
 * function answers for itself.
 */
export async function serve(content) {
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url, "http://localhost").pathname);
    const type = {
      "content-type": TYPES[extname(path)] ?? "application/octet-stream",
      "access-control-allow-origin": "*",
    };
    if (typeof content[path] === "function") return content[path](request, response);
    if (Object.hasOwn(content, path)) return response.writeHead(200, type).end(content[path]);
    const prefix = Object.keys(content).find((prefix) => prefix.endsWith("/") && path.startsWith(prefix));
    const file = prefix && join(content[prefix], path.slice(prefix.length));
    if (!file || !existsSync(file)) return response.writeHead(404).end();
    createReadStream(file).pipe(response.writeHead(200, type));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    base: `http://127.0.0.1:${server.address().port}`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
