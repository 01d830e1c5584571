// For testing applications: the real client with the real engine, on flags that the test sets.
import { keygen, sign } from "./ed25519.js";
import { FlagstoneClient, type JsonValue, type StartOptions, type UntypedFlags } from "flagstone";

/** By flag: the value that it serves to everyone; undefined for a flag that is not there. */
type FlagValues<F extends object> = { readonly [K in keyof F]?: F[K] | undefined };

/** A client whose flags a test sets. */
export type TestClient<F extends object = UntypedFlags> = FlagstoneClient<F> & {
  /** Sets these flags besides those set before; listeners are told as they are when a snapshot changes. */
  set(values: FlagValues<F>): Promise<void>;
};

const ENVIRONMENT = "test";

/**
 * A client that needs no network and no keys, and serves everyone what the test says.
 *
 * ```js
 * import { testClient } from "flagstone/testing";
 *
 * const flags = await testClient({ use_new_gateway: true, theme: "dark", limits: { upload: 5 } });
 * assert.equal(flags.boolean("use_new_gateway", false), true);
 * await flags.set({ use_new_gateway: false }); // tells `change`
 * ```
 */
export async function testClient<F extends object = UntypedFlags>(
  values: FlagValues<NoInfer<F>> = {},
  options: Partial<StartOptions> = {},
): Promise<TestClient<F>> {
  const { secretKey, publicKey } = keygen();
  const kid = "test";
  const jwk = { kty: "OKP", crv: "Ed25519", alg: "Ed25519", kid, environments: [ENVIRONMENT], x: base64url(publicKey) };
  const keys = { keys: [jwk] };
  const client = await FlagstoneClient.start<F>({ storage: false, ...options, environment: ENVIRONMENT, keys });
  let all: FlagValues<F> = {};
  let version = 0;
  const set = async (values: FlagValues<F>): Promise<void> => {
    const next = { ...all, ...values };
    const payload = snapshot(next, version + 1, options.audience ?? "client");
    const header = { alg: "Ed25519", b64: false, crit: ["b64"], kid, typ: "flagstone-snapshot+json" };
    const encoded = base64url(utf8(JSON.stringify(header)));
    const signature = base64url(sign(utf8(`${encoded}.${payload}`), secretKey));
    await client.load({ payload, signatures: [{ protected: encoded, signature }] });
    version++;
    all = next;
  };
  await set(values);
  return Object.assign(client, { set });
}

function snapshot(values: object, version: number, audience: string): string {
  const flags = Object.entries(values as Record<string, JsonValue | undefined>).flatMap(([key, value]) => {
    if (value === undefined) return [];
    const isSaid =
      typeof value === "number" ? Number.isFinite(value) : !["bigint", "function", "symbol"].includes(typeof value);
    if (!isSaid) throw new TypeError(`testClient: the flag \`${key}\` is given what JSON cannot say`);
    const plain = ["boolean", "string", "number"].includes(typeof value);
    const type = plain ? typeof value : "json";
    return [[key, { type, variants: { value }, off: "value", salt: "test", default: "value" }] as const];
  });
  return JSON.stringify({
    schema: 1,
    environment: ENVIRONMENT,
    audience,
    version,
    created: "2000-01-01T00:00:00Z",
    expires: "9999-12-31T23:59:59Z",
    flags: Object.fromEntries(flags),
  });
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}
