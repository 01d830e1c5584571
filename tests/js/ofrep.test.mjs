// OpenFeature's own remote providers, and the protocol they speak (OFREP 0.3), against `flagstone serve`.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { OFREPProvider } from "@openfeature/ofrep-provider";
import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";
import { OpenFeature as Server } from "@openfeature/server-sdk";
import { OpenFeature as Web, ProviderEvents } from "@openfeature/web-sdk";
import { EventSource } from "eventsource";
import { load, projectWith } from "./support/openfeature.mjs";
import { publishedProject } from "./support/server.mjs";

const definitions = (percent) => `
flags:
  use_new_gateway:
    client: true
    salt: use_new_gateway-1
    default: {ramp: {percent: ${percent}, serve: on}}
  theme:
    client: true
    salt: theme-1
    variants: {light: {color: white}, dark: {color: black}}
    off: light
    rules: [{id: staff, when: {attribute: staff, equals: true}, serve: dark}]
    default: light
  limit: {client: true, salt: limit-1, variants: {none: 0, some: 12.5}, off: none, default: some}
  greeting: {client: true, salt: greeting-1, variants: {short: Hi, long: Hello}, off: short, default: long}
  back_end_only: {salt: back_end_only-1, default: on}
`;

let project;
let server;
let token;

before(async () => {
  // Browsers have one.
  globalThis.EventSource = EventSource;
  project = publishedProject(definitions(0));
  token = project.token("shop", "reader");
  server = await project.serve("--tokens", "tokens.json", "--public-evaluation");
});
after(async () => {
  await Server.close();
  await Web.close();
  server.close();
  project.remove();
});

const authorization = () => ({ authorization: `Bearer ${token}` });

async function ask(path, body, headers = authorization()) {
  const response = await fetch(`${server.base}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await response.text();
  return {
    status: response.status,
    etag: response.headers.get("etag"),
    body: text === "" ? undefined : JSON.parse(text),
  };
}

describe("the official server provider", () => {
  before(() =>
    Server.setProviderAndWait(
      new OFREPProvider({ baseUrl: server.base, headers: [["authorization", `Bearer ${token}`]] }),
    ),
  );
  const client = () => Server.getClient();

  test("resolves each type", async () => {
    const user = { targetingKey: "user-42", staff: true };
    assert.equal(await client().getBooleanValue("back_end_only", false, user), true);
    assert.equal(await client().getNumberValue("limit", 0, user), 12.5);
    assert.equal(await client().getStringValue("greeting", "", user), "Hello");
    const details = await client().getObjectDetails("theme", {}, user);
    assert.deepEqual(details.value, { color: "black" });
    assert.equal(details.reason, "TARGETING_MATCH");
    assert.equal(details.variant, "dark");
    assert.equal(details.flagMetadata.rule, "staff");
    assert.equal(details.flagMetadata.version, 1);
  });

  test("says what went wrong", async () => {
    const missing = await client().getBooleanDetails("no_such_flag", true, { targetingKey: "user-42" });
    assert.equal(missing.value, true);
    assert.equal(missing.errorCode, "FLAG_NOT_FOUND");
    const mistyped = await client().getStringDetails("limit", "x", { targetingKey: "user-42" });
    assert.equal(mistyped.errorCode, "TYPE_MISMATCH");
  });

  test("decides as the npm package does", async () => {
    project.publish(definitions(30));
    const { keys } = await (
      await import("node:fs/promises")
    )
      .readFile(`${project.folder}/keys.jwks`, "utf8")
      .then(JSON.parse);
    const { FlagstoneClient } = await load(projectWith("@openfeature"), ".");
    const local = await FlagstoneClient.start({
      source: `${server.base}/snapshots/production/client.json`,
      stream: `${server.base}/snapshots/production/stream`,
      environment: "production",
      keys: { keys },
    });
    while (local.version !== 2) await local.refresh();
    for (let index = 0; index < 200; index++) {
      const user = { targetingKey: `user-${index}` };
      const [here, there] = [
        local.details("use_new_gateway", false, user),
        await client().getBooleanDetails("use_new_gateway", false, user),
      ];
      assert.deepEqual(
        [there.value, there.variant, there.reason],
        [here.value, here.variant, here.reason],
        user.targetingKey,
      );
    }
    // The stream that OFREP's providers listen to is the one that tells the package's clients.
    const changed = new Promise((resolve) => local.on("change", resolve));
    project.publish(definitions(0));
    assert.deepEqual(await changed, { version: 3, changed: ["use_new_gateway"] });
    await local.close();
  });
});

test("the official web provider follows the stream without a token", async () => {
  await Web.setContext({ targetingKey: "user-42" });
  const provider = new OFREPWebProvider({ baseUrl: server.base, cacheMode: "disabled" });
  await Web.setProviderAndWait(provider);
  const client = Web.getClient();
  assert.equal(client.getBooleanValue("use_new_gateway", true), false);
  assert.equal(client.getBooleanDetails("back_end_only", true).errorCode, "FLAG_NOT_FOUND");
  const changed = new Promise((resolve) => client.addHandler(ProviderEvents.ConfigurationChanged, resolve));
  project.publish(definitions(100));
  assert.deepEqual((await changed).flagsChanged.includes("use_new_gateway"), true);
  assert.equal(client.getBooleanValue("use_new_gateway", false), true);
});

describe("the protocol", () => {
  const path = "/ofrep/v1/evaluate/flags";
  const context = { targetingKey: "user-42" };

  test("answers in bulk, and says when nothing changed", async () => {
    const { status, etag, body } = await ask(path, { context });
    assert.equal(status, 200);
    assert.deepEqual(body.flags.map(({ key }) => key).sort(), [
      "back_end_only",
      "greeting",
      "limit",
      "theme",
      "use_new_gateway",
    ]);
    for (const flag of body.flags) assert.ok("value" in flag && flag.reason && flag.variant, flag.key);
    assert.deepEqual(body.eventStreams, [
      { type: "sse", endpoint: { requestUri: "/snapshots/production/stream" }, inactivityDelaySec: 120 },
    ]);
    assert.equal((await ask(path, { context }, { ...authorization(), "if-none-match": etag })).status, 304);
    const other = await ask(
      path,
      { context: { targetingKey: "user-43", staff: true } },
      { ...authorization(), "if-none-match": etag },
    );
    assert.equal(other.status, 200, "another user's results are others");
    assert.deepEqual((await ask(`/environments/production${path}`, { context })).body, body);
    assert.equal((await ask(`/environments/staging${path}`, { context })).status, 404);
  });

  test("evaluates for strangers what is for clients, and nothing else", async () => {
    const { body } = await ask(path, { context }, {});
    assert.ok(!body.flags.some(({ key }) => key === "back_end_only"));
    assert.equal((await ask(`${path}/back_end_only`, { context }, {})).status, 404);
    assert.equal((await ask(path, { context }, { authorization: "Bearer flagstone_wrong" })).status, 401);
    assert.equal((await ask(path, { context }, { "x-api-key": token })).body.flags.length, 5);
    const closed = await project.serve("--tokens", "tokens.json");
    const response = await fetch(`${closed.base}${path}`, { method: "POST", body: JSON.stringify({ context }) });
    closed.close();
    assert.equal(response.status, 401);
  });

  test("has its own error codes", async () => {
    const code = async (body, key = "limit") => {
      const { status, body: answer } = await ask(`${path}/${key}`, body);
      assert.equal(answer.key, key);
      return [status, answer.errorCode];
    };
    assert.deepEqual(await code({ context }, "no_such_flag"), [404, "FLAG_NOT_FOUND"]);
    assert.deepEqual(await code("{"), [400, "PARSE_ERROR"]);
    assert.deepEqual(await code({}), [400, "INVALID_CONTEXT"]);
    assert.deepEqual(await code({ context: [1] }), [400, "INVALID_CONTEXT"]);
    assert.equal((await ask(path, "{")).body.errorCode, "PARSE_ERROR");
    // 100 % needs no key.
    assert.equal((await ask(`${path}/limit`, { context: {} })).body.value, 12.5);
  });

  test("can be asked from a page of another origin", async () => {
    const response = await fetch(`${server.base}${path}`, {
      method: "OPTIONS",
      headers: {
        origin: "https://shop.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,if-none-match,authorization",
      },
    });
    assert.equal(response.headers.get("access-control-allow-origin"), "*");
    const allowed = response.headers.get("access-control-allow-headers");
    for (const name of ["content-type", "if-none-match", "authorization"]) assert.ok(allowed.includes(name), name);
  });

  test("waits for a version that the stream told of", async () => {
    // Another server of the same store has not looked yet, and will not for an hour.
    const slow = await project.serve("--tokens", "tokens.json", "--poll", "1h");
    project.publish(definitions(50));
    const url = `${slow.base}${path}?flagConfigEtag=5&flagConfigLastModified=0`;
    const response = await fetch(url, { method: "POST", headers: authorization(), body: JSON.stringify({ context }) });
    assert.equal((await response.json()).metadata.version, 5);
    slow.close();
  });
});
