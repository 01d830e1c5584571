// Signed pins for one browser, from a link or the cookie that remembers it: how testers see a flag before anyone else does.
import { base64url, utf8 } from "./envelope.js";
import { LoadError, told } from "./errors.js";
import type { Host, Pins } from "./host.js";
import { checkPins } from "./options.js";

/** Whose signed pins are taken, and where they are looked for. */
export interface SignedPinsOptions {
  /** Who may sign pins: a JWK set of its own, so that testers' keys cannot sign snapshots. By default the client's. */
  readonly keys?: { readonly keys: readonly Readonly<Record<string, unknown>>[] };
  /** The link's parameter and the cookie. By default `flagstone-pins`. */
  readonly name?: string;
}

/** What a request asks for. */
export interface RequestPins {
  /** The pins of its subject; undefined where there are none that can be taken. */
  readonly pins?: Pins;
  /** The value of a `Set-Cookie` header, which remembers or forgets them. */
  readonly cookie?: string;
}

/** What is signed. */
interface SignedPins {
  readonly environment: string;
  /** RFC 3339. */
  readonly expires: string;
  readonly pins: unknown;
}

const NAME = "flagstone-pins";
/** What a link says for no pins any more. */
const OFF = "off";

/**
 * Verifies pins: an envelope in base64url.
 *
 * @throws {LoadError}
 */
export async function readPins(
  host: Host,
  token: string,
  keys: unknown,
  environment: string,
  now: number,
): Promise<Pins> {
  let signed: SignedPins;
  try {
    signed = (await host.openPins(await decode(token), keys)) as SignedPins;
  } catch (error) {
    throw await told(error, "ENVELOPE");
  }
  if (signed.environment !== environment) {
    const { environment: other } = signed;
    throw new LoadError("SNAPSHOT", `they are for the environment \`${other}\`, not \`${environment}\``);
  }
  if (!(now < Date.parse(signed.expires))) throw new LoadError("EXPIRED", `they expired at ${signed.expires}`);
  try {
    return checkPins(signed.pins);
  } catch (error) {
    const cause = await told(error, "SNAPSHOT");
    throw new LoadError("SNAPSHOT", "they are not written as `flagstone pin` does", { cause });
  }
}

/** The pins that a request asks for, or the page, by its address or else by a cookie; and the cookie to set then. */
export async function findPins(
  request: Request | undefined,
  name = NAME,
  read: (token: string) => Promise<Pins>,
): Promise<RequestPins & { readonly error?: unknown }> {
  if (request !== undefined) return findIn(request.url, request.headers.get("cookie") ?? "", name, read);
  const found = await findIn(location.href, pageCookies(), name, read);
  if (found.cookie !== undefined) pageCookies(found.cookie);
  return found;
}

async function findIn(
  address: string,
  cookies: string,
  name: string,
  read: (token: string) => Promise<Pins>,
): Promise<RequestPins & { readonly error?: unknown }> {
  const url = new URL(address);
  const attributes = `Path=/; SameSite=Lax${url.protocol === "https:" ? "; Secure" : ""}`;
  const forget = `${name}=; Max-Age=0; ${attributes}`;
  const linked = url.searchParams.get(name);
  if (linked === OFF) return { cookie: forget };
  const kept = cookies.split(/;\s*/).find((cookie) => cookie.startsWith(`${name}=`));
  const token = linked ?? kept?.slice(name.length + 1);
  if (token === undefined) return {};
  try {
    const pins = await read(token);
    return linked === null ? { pins } : { pins, cookie: `${name}=${token}; ${attributes}` };
  } catch (error) {
    return linked === null ? { error, cookie: forget } : { error };
  }
}

/** The page's cookies, after setting one if it is given; none where they are blocked, which asking shows by throwing. */
function pageCookies(set?: string): string {
  try {
    if (set !== undefined) document.cookie = set;
    return document.cookie;
  } catch {
    return "";
  }
}

async function decode(token: string): Promise<string> {
  try {
    return utf8(base64url(token, "it"));
  } catch (error) {
    throw new LoadError("ENVELOPE", "they are no base64url", { cause: await told(error, "ENVELOPE") });
  }
}
