// The application of `make demo`: it resizes images, by the old path or the new one as a flag says, and measures itself.
import { createServer } from "node:http";

export const FLAG = "new_image_resizer";

/** People who come again and again. */
const PEOPLE = 2000;
/** So many come at once, as often as this. */
const CALLS = 20;
const EVERY_MS = 100;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/**
 * Runs it: `GET /metrics` is what Prometheus reads, and `POST /NAME` does what `commands` has by that name, and says what comes
 * of it. `guards` are those of the npm package.
 */
export async function runApplication(guards, commands) {
  let isBroken = false;
  let lastNew;
  const taken = { new: { seconds: 0, count: 0 }, old: { seconds: 0, count: 0 } };

  const resize = async (path, ms) => {
    const begun = performance.now();
    await pause(ms * (0.75 + Math.random() / 2));
    if (path === "new") lastNew = Date.now();
    if (path === "new" && isBroken && Math.random() < 0.4) throw new Error("The new service answers 503");
    taken[path].seconds += (performance.now() - begun) / 1000;
    taken[path].count++;
  };
  const call = () => {
    const context = { targetingKey: `user-${Math.floor(Math.random() * PEOPLE)}` };
    const quietly = { error: () => {} };
    guards.guard(
      FLAG,
      context,
      () => resize("new", 8),
      () => resize("old", 8),
      quietly,
    );
  };
  const timer = setInterval(() => {
    for (let count = 0; count < CALLS; count++) call();
  }, EVERY_MS);

  const metrics = () => {
    const lines = ["# TYPE resize_seconds summary"];
    for (const [path, { seconds, count }] of Object.entries(taken))
      lines.push(`resize_seconds_sum{path="${path}"} ${seconds}`, `resize_seconds_count{path="${path}"} ${count}`);
    return `${guards.metrics()}${lines.join("\n")}\n`;
  };
  const posts = Object.entries(commands).map(([name, run]) => [`POST /${name}`, run]);
  const answers = { "GET /metrics": metrics, ...Object.fromEntries(posts) };
  const server = createServer(async (request, response) => {
    // A page elsewhere may make a browser send this; nobody else's page has a say here.
    const answer = request.headers.origin === undefined && answers[`${request.method} ${request.url}`];
    response.setHeader("content-type", "text/plain; version=0.0.4; charset=utf-8");
    if (!answer) return response.writeHead(404).end(`There is ${Object.keys(answers).join(", ")}.\n`);
    try {
      return response.end(await answer());
    } catch (error) {
      return response.writeHead(502).end(`${error.message}\n`);
    }
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    address: `http://127.0.0.1:${server.address().port}`,
    isBroken: () => isBroken,
    setBroken: (value) => (isBroken = value),
    /** When somebody was on the new path last. */
    lastNew: () => lastNew,
    close() {
      clearInterval(timer);
      server.closeAllConnections();
      server.close();
    },
  };
}
