// A source of snapshots that has good and bad days.
import { createServer } from "node:http";
import { brotliCompressSync, gzipSync } from "node:zlib";

/**
 * A server whose `answer(request, response)` may be replaced at any time; `requests` are those that came. `asked(n)` waits
 * for the nth.
 */
export async function origin(answer = good("")) {
  const waiting = new Map();
  const source = {
    answer,
    requests: [],
    asked: (count) =>
      source.requests.length >= count
        ? Promise.resolve(source.requests[count - 1])
        : new Promise((resolve) => waiting.set(count, resolve)),
  };
  const server = createServer((request, response) => {
    source.requests.push(request);
    waiting.get(source.requests.length)?.(request);
    source.answer(request, response);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  source.base = `http://127.0.0.1:${server.address().port}`;
  // What a URL carries for the source's eyes only.
  source.url = `${source.base}/client.json?token=s3cret`;
  source.close = () => {
    server.closeAllConnections();
    server.close();
  };
  return source;
}

/** Answers with this body. */
export const good =
  (body, headers = {}) =>
  (request, response) =>
    response.writeHead(200, { "content-type": "application/json", ...headers }).end(body);

/** Answers with a status. */
export const status =
  (code, headers = {}, body = "") =>
  (request, response) =>
    response.writeHead(code, headers).end(body);

/** Answers as HTTP has it: with an entity tag, and 304 to who has it. */
export const tagged = (body, etag) => (request, response) =>
  request.headers["if-none-match"] === etag
    ? response.writeHead(304, { etag }).end()
    : response.writeHead(200, { etag }).end(body);

export const gzipped = (body) => good(gzipSync(body), { "content-encoding": "gzip" });
export const brotlied = (body) => good(brotliCompressSync(body), { "content-encoding": "br" });

/** What hotels and airports answer with. */
export const PORTAL = "\n<!DOCTYPE html><html><title>Welcome to our WLAN</title><p>Please sign in.</html>";

/** Says half of it, and then nothing for as long as anybody waits. */
export const stalled = (body) => (request, response) => {
  response.writeHead(200, { "content-length": body.length });
  response.write(body.slice(0, body.length / 2));
};

/** Says half of it, and hangs up. */
export const reset = (body) => (request, response) => {
  response.writeHead(200, { "content-length": body.length });
  response.write(body.slice(0, body.length / 2), () => response.socket.resetAndDestroy());
};

/** An answer that is held back until `release()`. */
export function gated(answer) {
  let release;
  const open = new Promise((resolve) => (release = resolve));
  const gate = (request, response) => open.then(() => answer(request, response));
  return Object.assign(gate, { release });
}
