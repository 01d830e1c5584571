// Anonymous ids: made, kept, handed over when a user signs in; in Node.js, in Chromium, in workerd.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Miniflare } from "miniflare";
import {
  AnonymousId,
  anonymousIdCookie,
  cookieStorage,
  expiredAnonymousIdCookie,
  FlagstoneClient,
  readAnonymousId,
} from "../../pkg/node.js";
import { launch, serve } from "./support/browser.mjs";
import { entry, pkg, project } from "./support/package.mjs";
import { boolean, envelope, keyPair, snapshot } from "./support/sign.mjs";

const production = keyPair();
const half = { ramp: { percent: 50000, serve: "on" } };
const options = {
  source: envelope(
    snapshot({
      flags: {
        usual: boolean(half, { requires: ["xxh3"], salt: "usual-1" }),
        surviving: boolean(half, { requires: ["xxh3"], salt: "surviving-1", bucketBy: "anonymousId" }),
      },
    }),
    production,
  ),
  environment: "production",
  keys: production.keys,
};
const ID = "0123456789abcdef0123456789abcdef";
const OTHER = "f".repeat(32);
const DAY_S = 86_400;

let client;
before(async () => {
  client = await FlagstoneClient.start(options);
});
after(() => client.close());

test("a cookie says how it is kept", () => {
  assert.equal(anonymousIdCookie(ID), `flagstone_id=${ID}; Path=/; Max-Age=15552000; SameSite=Lax; Secure`);
  assert.equal(
    anonymousIdCookie(ID, { name: "who", maxAge: 60, domain: "example.com", secure: false }),
    `who=${ID}; Path=/; Max-Age=60; SameSite=Lax; Domain=example.com`,
  );
  assert.equal(expiredAnonymousIdCookie(), "flagstone_id=; Path=/; Max-Age=0; SameSite=Lax; Secure");
  assert.equal(
    expiredAnonymousIdCookie({ name: "who", maxAge: 60, domain: ".example.com" }),
    "who=; Path=/; Max-Age=0; SameSite=Lax; Domain=.example.com; Secure",
  );
});

test("nothing is put into a header that is not for it", () => {
  for (const id of ["", "x", ID.toUpperCase(), `${ID}0`, `${ID}\n`, ` ${ID}`, `${ID.slice(1)};`, undefined, null, 5]) {
    assert.throws(() => anonymousIdCookie(id), /32 hexadecimal digits/);
  }
  for (const name of ["", "a b", "a;b", "a=b", "a\r\nb", "ü", '"a"']) {
    for (const make of [(cookie) => anonymousIdCookie(ID, cookie), expiredAnonymousIdCookie]) {
      assert.throws(() => make({ name }), { name: "TypeError", message: /cannot be named/ });
    }
  }
  for (const domain of ["", "a b", "example.com; Secure", "a..b", "a\r\nSet-Cookie: x=y", "."]) {
    assert.throws(() => anonymousIdCookie(ID, { domain }), { name: "TypeError", message: /for the domain/ });
  }
  for (const maxAge of [0, -1, 1.5, NaN, Infinity, 401 * DAY_S, "60; Secure"]) {
    assert.throws(() => anonymousIdCookie(ID, { maxAge }), { name: "TypeError", message: /maxAge is whole seconds/ });
  }
});

test("an id is read from whatever a request's cookies are", () => {
  for (const [cookies, expected] of [
    [`flagstone_id=${ID}`, ID],
    [`a=b; flagstone_id=${ID}; c=d`, ID],
    [`a=b;flagstone_id=${ID};c`, ID],
    [`  flagstone_id = ${ID} `, ID],
    [`;;=;flagstone_id;=x;flagstone_id=${ID}`, ID],
    // Two of one name: the first that could be.
    [`flagstone_id=${ID}; flagstone_id=${OTHER}`, ID],
    [`flagstone_id=forged; flagstone_id=${OTHER}`, OTHER],
    // None that could be.
    [`flagstone_id=${ID.toUpperCase()}`],
    [`flagstone_id=${ID}0`],
    [`flagstone_id=${ID.slice(1)}`],
    [`flagstone_id="${ID}"`],
    [`flagstone_id==${ID}`],
    [`flagstone_id=${ID}=`],
    [`Flagstone_id=${ID}`],
    [`xflagstone_id=${ID}`],
    [`a="; flagstone_id"=${ID}`],
    [`flagstone_id=%30${ID.slice(1)}`],
    [`flagstone_id=${"0".repeat(1_000_000)}`],
    [";".repeat(1_000_000)],
    ["="],
    [""],
    [undefined],
    [null],
  ]) {
    assert.equal(readAnonymousId(cookies), expected, String(cookies).slice(0, 100));
  }
  assert.equal(readAnonymousId(`flagstone_id=${ID}; who=${OTHER}`, { name: "who" }), OTHER);
  assert.equal(readAnonymousId(ID, { name: ID.slice(0, 31) }), undefined);
  const request = (headers) => new Request("https://shop.example/", { headers });
  assert.equal(readAnonymousId(request({ cookie: `a=b; flagstone_id=${ID}` })), ID);
  assert.equal(readAnonymousId(request({})), undefined);
});

/** A storage that keeps `kept`, and what was done with it. */
function storage(kept) {
  const done = [];
  return {
    done,
    read() {
      done.push("read");
      return kept;
    },
    write(id) {
      done.push(`write ${id}`);
      kept = id;
    },
    remove() {
      done.push("remove");
      kept = null;
    },
  };
}
const warn = (message) => assert.fail(message);
const anonymous = (options) => new AnonymousId(client, { warn, ...options });

test("an id is made once and kept", () => {
  const kept = storage(null);
  const first = anonymous({ storage: kept });
  assert.deepEqual(kept.done, [], "nothing before it is needed");
  assert.match(first.id, /^[0-9a-f]{32}$/);
  assert.equal(first.id, first.id);
  assert.deepEqual(kept.done, ["read", `write ${first.id}`, "read"]);
  const second = anonymous({ storage: kept });
  assert.equal(second.id, first.id);
  assert.equal(kept.done.filter((done) => done === `write ${first.id}`).length, 2, "renewed");
  const unrenewed = storage(ID);
  assert.equal(anonymous({ storage: unrenewed, renew: false }).id, ID);
  assert.deepEqual(unrenewed.done, ["read"]);
  for (const forged of ["", "me", ID.toUpperCase(), 5, {}]) {
    assert.match(anonymous({ storage: storage(forged), renew: false }).id, /^[0-9a-f]{32}$/);
  }
  assert.notEqual(anonymous().id, anonymous().id, "without a storage it lives in memory");
});

test("without consent nothing is read or kept; with it, the id in use is", () => {
  const kept = storage(OTHER);
  const asking = anonymous({ storage: kept, consent: false });
  const { id } = asking;
  assert.equal(asking.id, id);
  assert.notEqual(id, OTHER);
  assert.deepEqual([kept.done, asking.consent], [[], false]);
  asking.setConsent(true);
  assert.deepEqual([kept.read(), asking.id, asking.consent], [id, id, true]);
  kept.done.length = 0;
  asking.setConsent(true);
  assert.deepEqual(kept.done, []);
  asking.setConsent(false);
  assert.deepEqual([kept.read(), asking.id, asking.consent], [null, id, false]);
  asking.setConsent(true);
  assert.deepEqual([kept.read(), asking.id], [id, id]);
  // Agreed before the id was needed: the one of an earlier visit.
  const early = anonymous({ storage: storage(OTHER), consent: false });
  early.setConsent(true);
  assert.equal(early.id, OTHER);
  // Refused: what an earlier visit kept goes.
  const refused = storage(OTHER);
  anonymous({ storage: refused, consent: false }).setConsent(false);
  assert.deepEqual(refused.done, ["remove"]);
});

test("a storage that is blocked costs nothing but one warning", (context) => {
  const blocked = () => {
    throw new DOMException("The document is sandboxed", "SecurityError");
  };
  const nothing = () => undefined;
  for (const block of [blocked, nothing]) {
    const warnings = [];
    const storage = { read: block, write: block, remove: block };
    const one = new AnonymousId(client, { storage, warn: (message) => warnings.push(message) });
    assert.match(one.id, /^[0-9a-f]{32}$/);
    assert.equal(one.id, one.id);
    assert.deepEqual(warnings, [
      "flagstone: the anonymous id is not kept, for its storage is blocked: the next page has another",
    ]);
    one.setConsent(false);
    assert.equal(warnings.length, 1);
  }
  const warned = context.mock.method(console, "warn", () => undefined);
  assert.ok(new AnonymousId(client, { storage: { read: nothing, write: nothing, remove: nothing } }).id);
  assert.equal(warned.mock.callCount(), 1);
});

test("without an engine, and on an insecure origin, there is an id all the same", () => {
  const code = `
    import { AnonymousId, FlagstoneClient } from "flagstone/module";
    Object.defineProperty(crypto, "randomUUID", { value: undefined });
    const client = await FlagstoneClient.start(${JSON.stringify({ ...options, storage: false })});
    const ids = Array.from({ length: 50 }, () => new AnonymousId(client).id);
    console.log(JSON.stringify({ error: client.error.message, ids }));`;
  const folder = project();
  const args = ["--input-type=module", "--eval", code];
  const { error, ids } = JSON.parse(execFileSync(process.execPath, args, { cwd: folder, stdio: "pipe" }));
  rmSync(folder, { recursive: true });
  assert.match(error, /call init/);
  for (const id of ids) assert.match(id, /^[0-9a-f]{32}$/);
  assert.equal(new Set(ids).size, 50);
});

// Signing in: who was `anonymous.id` becomes `account.id`.
const visitors = Array.from({ length: 200 }, (_, index) => index);
const cohorts = (flag, contexts) => contexts.map((context) => client.boolean(flag, false, context));

test("a flag that buckets by anonymousId keeps its cohorts when users sign in; others may change theirs", () => {
  const people = visitors.map((index) => ({ anonymousId: client.anonymousId(), account: `user-${index}` }));
  const before = people.map(({ anonymousId }) => ({ targetingKey: anonymousId, anonymousId }));
  const after = people.map(({ anonymousId, account }) => ({ targetingKey: account, anonymousId }));
  const surviving = cohorts("surviving", before);
  assert.ok(surviving.includes(true) && surviving.includes(false));
  assert.deepEqual(cohorts("surviving", after), surviving);
  assert.notDeepEqual(cohorts("usual", after), cohorts("usual", before));
  // Who forgets to pass it on after signing in is out, and is told why.
  const { value, flagMetadata } = client.details("surviving", true, { targetingKey: "user-1" });
  assert.deepEqual([value, flagMetadata.keyMissing], [false, true]);
});

test("an anonymous id that is stored with the account keeps the cohort on every device", () => {
  const accounts = visitors.map((index) => ({ id: `user-${index}` }));
  const signedIn = (account, anonymous) => ({
    targetingKey: account.id,
    anonymousId: (account.anonymousId ??= anonymous.id),
  });
  const device = () => accounts.map(() => anonymous());
  const [phones, laptops] = [device(), device()];
  const onPhones = accounts.map((account, index) => signedIn(account, phones[index]));
  const onLaptops = accounts.map((account, index) => signedIn(account, laptops[index]));
  const cohortsOnPhones = cohorts("surviving", onPhones);
  assert.deepEqual(cohorts("surviving", onLaptops), cohortsOnPhones);
  const notStored = accounts.map(({ id }, index) => ({ targetingKey: id, anonymousId: laptops[index].id }));
  assert.notDeepEqual(cohorts("surviving", notStored), cohortsOnPhones);
});

let browser, server;
const imported = entry(".", ["browser", "import"]).replace("./", "/pkg/");
const requests = [];
before(async () => {
  server = await serve({
    "/pkg/": pkg,
    "/page.html": "<!doctype html><title>Flagstone</title>",
    // A server that reads the id, or makes one, and keeps it on.
    "/served.html": (request, response) => {
      const kept = readAnonymousId(request.headers.cookie);
      const id = kept ?? client.anonymousId();
      requests.push({ kept, id });
      const headers = {
        "content-type": "text/html",
        "set-cookie": anonymousIdCookie(id, { secure: false, maxAge: 600 }),
      };
      response.writeHead(200, headers).end("<!doctype html><title>Served</title>");
    },
    "/sandboxed.html": (_, response) => {
      const headers = { "content-type": "text/html", "content-security-policy": "sandbox allow-scripts" };
      response.writeHead(200, headers).end("<!doctype html><title>Sandboxed</title>");
    },
  });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  server?.close();
});

/** A browser context with a page there, its cookies its own. */
async function open(url) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(url);
  return { context, page, cookies: () => context.cookies() };
}

/** Runs `work(anonymous, package)` in the page. */
const run = (page, work, settings = {}) =>
  page.evaluate(
    async ({ imported, options, settings, work }) => {
      const flagstone = await import(imported);
      globalThis.client ??= await flagstone.FlagstoneClient.start(options);
      const { cookie, ...rest } = settings;
      if (cookie !== undefined) rest.storage = flagstone.cookieStorage(cookie);
      globalThis.anonymous ??= new flagstone.AnonymousId(globalThis.client, rest);
      return new Function("anonymous", `return (${work})(anonymous)`)(globalThis.anonymous);
    },
    { imported, options: { ...options, storage: false }, settings, work: String(work) },
  );
const idOf = ({ id }) => id;

test("in Chromium: a first-party cookie keeps it from page to page", async () => {
  const { context, page, cookies } = await open(`${server.base}/page.html`);
  const id = await run(page, idOf);
  const [{ expires, ...cookie }] = await cookies();
  assert.deepEqual(cookie, {
    name: "flagstone_id",
    value: id,
    domain: "127.0.0.1",
    path: "/",
    httpOnly: false,
    secure: false,
    sameSite: "Lax",
  });
  const days = (seconds) => Math.round((seconds - Date.now() / 1000) / DAY_S);
  assert.equal(days(expires), 180);
  // Nearly over: reading it keeps it on.
  await context.addCookies([{ ...cookie, expires: Date.now() / 1000 + DAY_S }]);
  assert.equal(days((await cookies())[0].expires), 1);
  const next = await context.newPage();
  await next.goto(`${server.base}/page.html?next`);
  assert.equal(await run(next, idOf), id);
  assert.equal(days((await cookies())[0].expires), 180);
  await context.close();
});

test("in Chromium: over https it is secure, and may be for a domain", async () => {
  const context = await browser.newContext();
  await context.route("https://shop.example.test/**", async (route) => {
    const { pathname } = new URL(route.request().url());
    await route.fulfill({ response: await context.request.get(server.base + pathname) });
  });
  const page = await context.newPage();
  await page.goto("https://shop.example.test/page.html");
  const id = await run(page, idOf, { cookie: { name: "who", domain: "example.test", maxAge: 3600 } });
  const [cookie, ...others] = await context.cookies();
  assert.deepEqual(others, []);
  assert.deepEqual(
    [cookie.name, cookie.value, cookie.domain, cookie.secure, cookie.sameSite],
    ["who", id, ".example.test", true, "Lax"],
  );
  await run(page, (anonymous) => anonymous.setConsent(false));
  assert.deepEqual(await context.cookies(), []);
  await context.close();
});

test("in Chromium: consent given later keeps the id, withdrawn it deletes the cookie", async () => {
  const { context, page, cookies } = await open(`${server.base}/page.html`);
  const id = await run(page, idOf, { consent: false });
  assert.deepEqual(await cookies(), []);
  await run(page, (anonymous) => anonymous.setConsent(true));
  assert.deepEqual(
    (await cookies()).map(({ value }) => value),
    [id],
  );
  await run(page, (anonymous) => anonymous.setConsent(false));
  assert.deepEqual(await cookies(), []);
  assert.equal(await run(page, idOf), id);
  await page.reload();
  assert.notEqual(await run(page, idOf), id);
  await context.close();
});

test("in Chromium: a server and its pages have one id", async () => {
  requests.length = 0;
  const { context, page, cookies } = await open(`${server.base}/served.html`);
  const id = await run(page, idOf, { renew: false });
  const [cookie] = await cookies();
  assert.ok(cookie.expires < Date.now() / 1000 + 601, "as the server set it");
  await page.reload();
  assert.deepEqual(requests, [
    { kept: undefined, id },
    { kept: id, id },
  ]);
  await context.close();
});

test("in Chromium: a page that may have no cookies has an id and a warning", async () => {
  const { context, page } = await open("about:blank");
  const warnings = [];
  page.on("console", (message) => message.type() === "warning" && warnings.push(message.text()));
  await page.route("**/pkg/**", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, headers: { ...response.headers(), "access-control-allow-origin": "*" } });
  });
  await page.goto(`${server.base}/sandboxed.html`);
  await assert.rejects(
    page.evaluate(() => document.cookie),
    /SecurityError|sandboxed/,
  );
  assert.match(await run(page, idOf), /^[0-9a-f]{32}$/);
  await run(page, (anonymous) => anonymous.setConsent(false));
  assert.deepEqual(warnings, [
    "flagstone: the anonymous id is not kept, for its storage is blocked: the next page has another",
  ]);
  await context.close();
});

test("in Chromium: a cookie that cannot be says so at once", async () => {
  const { context, page } = await open(`${server.base}/page.html`);
  for (const cookie of [{ name: "a b" }, { domain: "a b" }, { maxAge: 0 }]) {
    await assert.rejects(run(page, idOf, { cookie }), /TypeError: a cookie/);
  }
  await context.close();
});

test("in Node.js there is no page whose cookies it could have", () => {
  assert.throws(() => cookieStorage(), /is for pages/);
});

test("in workerd: a request's id, or a new one that its response sets", async () => {
  const worker = `
    import { FlagstoneClient, anonymousIdCookie, readAnonymousId } from
      ${JSON.stringify(entry(".", ["workerd", "worker", "browser"]))};
    export default {
      async fetch(request) {
        const flags = await FlagstoneClient.start(${JSON.stringify(options)});
        const id = readAnonymousId(request) ?? flags.anonymousId();
        const response = Response.json(flags.boolean("surviving", false, { targetingKey: id, anonymousId: id }));
        response.headers.append("Set-Cookie", anonymousIdCookie(id));
        return response;
      },
    };`;
  const files = readdirSync(pkg).filter((file) => /\.(js|wasm)$/.test(file));
  const miniflare = new Miniflare({
    cf: false,
    compatibilityDate: "2026-01-01",
    modulesRoot: pkg,
    modules: [
      { type: "ESModule", path: join(pkg, "worker.js"), contents: worker },
      ...files.map((file) => ({ type: file.endsWith(".js") ? "ESModule" : "CompiledWasm", path: join(pkg, file) })),
    ],
  });
  try {
    const ask = async (cookie) => {
      const headers = cookie === undefined ? {} : { cookie };
      const response = await miniflare.dispatchFetch("http://localhost/", { headers });
      return { value: await response.json(), set: response.headers.get("set-cookie") };
    };
    const first = await ask();
    const [, id] = /^flagstone_id=([0-9a-f]{32}); /.exec(first.set);
    assert.equal(first.set, anonymousIdCookie(id));
    assert.equal(first.value, client.boolean("surviving", false, { targetingKey: id, anonymousId: id }));
    assert.deepEqual(await ask(`flagstone_id=forged; flagstone_id=${id}`), first);
  } finally {
    await miniflare.dispose();
  }
});
