// A rollout as a team runs it: an application that routes by the package, Debian's Prometheus that measures it, and the
// controller that goes by what is measured. The durations of the plan are those of days, in seconds.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { load, projectWith } from "./support/openfeature.mjs";
import { prometheus as startPrometheus } from "./support/prometheus.mjs";
import { publishedProject } from "./support/server.mjs";
import { until } from "./support/watch.mjs";

const definitions = `
flags:
  use_new_gateway: {client: true, salt: use_new_gateway-1, default: {ramp: {percent: 0, serve: on}}}
rollouts:
  gateway:
    flags: [use_new_gateway]
    interval: 1s
    metrics:
      failed:
        query: >-
          sum(rate(gateway_requests_total{path="{{arm}}",outcome="failed"}[{{window}}]))
          / sum(rate(gateway_requests_total{path="{{arm}}"}[{{window}}]))
        samples: 'sum(increase(gateway_requests_total{path="{{arm}}"}[{{window}}]))'
        minimumSamples: 10
        window: 3s
      fallbacks:
        description: How often the package had to fall back to the old path
        query: >-
          sum(rate(flagstone_guard_fallbacks_total{flag="{{flag}}"}[{{window}}]))
          / sum(rate(flagstone_guard_calls_total{flag="{{flag}}",path="new"}[{{window}}]))
        window: 3s
      share:
        query: >-
          sum(rate(gateway_requests_total{path="new"}[{{window}}])) / sum(rate(gateway_requests_total[{{window}}]))
        window: 3s
    gates: [{metric: failed, value: '< 1%'}]
    triggers: [{metric: fallbacks, value: '> 10%', for: 2s}, {signal: callsDrop}]
    afterRollback: {share: share, within: 10s}
    steps: [{percent: 20, soak: 3s}, {percent: 50, soak: 3s}, {percent: 100, soak: 1d}]
`;

/** An application of 500 users, who each ask something every second. */
function application(guards) {
  const counts = new Map(
    ["new", "old"].flatMap((path) => ["done", "failed"].map((outcome) => [`${path} ${outcome}`, 0])),
  );
  const count = (path, outcome) => counts.set(`${path} ${outcome}`, counts.get(`${path} ${outcome}`) + 1);
  const app = { fault: false, stubborn: false, lastOnNewPath: 0, usersOnNewPath: new Set() };
  let user = 0;
  const ask = () => {
    const targetingKey = `user-${user++ % 500}`;
    const newPath = () => {
      app.lastOnNewPath = performance.now();
      app.usersOnNewPath.add(targetingKey);
      count("new", app.fault ? "failed" : "done");
      if (app.fault) throw new Error("the new gateway is down");
      return "new";
    };
    const oldPath = () => {
      count("old", "done");
      return "old";
    };
    if (app.stubborn) return newPath();
    guards.guard("use_new_gateway", { targetingKey }, newPath, oldPath, { error: () => undefined });
  };
  const timer = setInterval(() => {
    for (let many = 0; many < 10; many++) ask();
  }, 20);
  const server = createServer((_, response) => {
    const lines = Array.from(counts, ([labels, number]) => {
      const [path, outcome] = labels.split(" ");
      return `gateway_requests_total{path="${path}",outcome="${outcome}"} ${number}\n`;
    });
    const own = `# TYPE gateway_requests_total counter\n${lines.join("")}`;
    response.writeHead(200, { "content-type": "text/plain; version=0.0.4" }).end(own + guards.metrics());
  });
  return Object.assign(app, {
    listen: () =>
      new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(`127.0.0.1:${server.address().port}`))),
    close() {
      clearInterval(timer);
      server.closeAllConnections();
      server.close();
    },
  });
}

/** Takes what the controller tells. */
async function receiver() {
  const events = [];
  const server = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk) => (text += chunk));
    request.on("end", () => {
      const event = JSON.parse(text);
      if (!events.some(({ id }) => id === event.id)) events.push(event);
      response.end();
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { events, url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

let project;
let server;
let client;
let app;
let prometheus;
let told;
let controller;

before(async () => {
  project = publishedProject(definitions);
  server = await project.serve();
  const installed = projectWith();
  const { FlagstoneClient } = await load(installed, ".");
  const { Guards } = await load(installed, "./guard");
  client = await FlagstoneClient.start({
    source: `${server.base}/snapshots/production/client.json`,
    stream: `${server.base}/snapshots/production/stream`,
    environment: "production",
    keys: JSON.parse(readFileSync(join(project.folder, "keys.jwks"), "utf8")),
  });
  app = application(new Guards(client));
  prometheus = await startPrometheus(await app.listen());
  told = await receiver();
  controller = await project.control("--prometheus", prometheus.base, "--interval", "500ms", "--notify", told.url);
});
after(async () => {
  await controller?.close();
  await prometheus?.close();
  app?.close();
  told?.close();
  await client?.close();
  server?.close();
  project?.remove();
});

const verb = (name, ...rest) => {
  const fixed = ["--environment", "production", "--store", "published", "--key", "key.jwk", "--author", "ana"];
  return project.run("rollout", name, "gateway", ...rest, ...fixed, "--reason", "A test");
};
const happened = () => told.events.map(({ data }) => data.transition);
const next = async (transition, from = 0) => {
  await until(() => happened().includes(transition, from));
  return told.events[happened().indexOf(transition, from)];
};
/** The new path's share of traffic, as Prometheus has it. */
async function share() {
  const query = 'sum(rate(gateway_requests_total{path="new"}[3s])) / sum(rate(gateway_requests_total[3s]))';
  const response = await fetch(`${prometheus.base}/api/v1/query?${new URLSearchParams({ query })}`);
  return Number((await response.json()).data.result[0]?.value[1]);
}

test("a rollout advances by what is measured, and a fault turns it back until nobody is on the new path", async (t) => {
  verb("start");
  await until(() => happened().filter((transition) => transition === "advanced").length === 2);
  assert.deepEqual(happened(), ["started", "advanced", "advanced"]);
  const steps = told.events.map(({ data }) => [data.step, data.percent, data.before?.percent ?? 0]);
  assert.deepEqual(steps, [
    ["20%", 20, 0],
    ["50%", 50, 20],
    ["100%", 100, 50],
  ]);
  const gate = told.events[1].data.evidence.find(({ metric }) => metric === "failed");
  assert.deepEqual([gate.finding, gate.value, gate.samples > 10], ["holds", 0, true]);
  app.usersOnNewPath.clear();
  await until(() => app.usersOnNewPath.size === 500);

  app.fault = true;
  const begun = performance.now();
  const { data } = await next("rolledBack");
  await next("verified");
  const seconds = (app.lastOnNewPath - begun) / 1000;
  t.diagnostic(`from the fault to the last user off the new path: ${seconds.toFixed(1)} s`);
  const decided = data.evidence.find(({ metric }) => metric === "fallbacks");
  assert.equal(decided.finding, "holds");
  assert.ok(decided.value > 0.1 && decided.query.includes('flag="use_new_gateway"'), JSON.stringify(decided));
  assert.deepEqual([data.phase, data.percent, data.author], ["rolledBack", 0, "flagstone rollout"]);
  assert.deepEqual([data.incident.severity, data.incident.rollbackTriggered], ["critical", true]);
  // The share came down before it was verified, so nobody came later.
  assert.ok(performance.now() - app.lastOnNewPath > 1000);
  assert.equal(happened().length, 5);
});

test("where traffic does not follow a rollback, somebody is called", async () => {
  app.fault = false;
  const from = told.events.length;
  verb("retry");
  await next("retried", from);
  app.stubborn = true;
  while (!((await share()) > 0.9)) await new Promise((resolve) => setTimeout(resolve, 100));
  verb("signal", "callsDrop");
  const { data } = await next("escalated", from);
  assert.match(data.reason, /share of traffic/);
  assert.deepEqual(
    happened()
      .slice(from)
      .filter((transition) => transition !== "advanced"),
    ["retried", "signalled", "rolledBack", "escalated"],
  );
  app.stubborn = false;
  assert.equal((await next("verified", from)).data.incident.recovery, "verified");
});
