// Pins for one browser, from a signed link or the cookie that remembers it: how testers see a flag before anyone else does.
import { LoadError, type Host, type Pins } from "./host.js";

/** How pins for one browser are taken. */
export interface OverrideOptions {
  /** Who may sign pins: a JWK set of its own, so that testers' keys cannot sign snapshots. By default the client's. */
  readonly keys?: { readonly keys: readonly Readonly<Record<string, unknown>>[] };
  /** The link's parameter and the cookie. By default `flagstone-pins`. */
  readonly name?: string;
}

/** What is signed, beside the environment that the keys are bound to. */
interface SignedPins {
  readonly environment: string;
  /** RFC 3339. */
  readonly expires: string;
  readonly pins: Pins;
}

const NAME = "flagstone-pins";
/** What a link says for no pins any more. */
const OFF = "off";

interface Options {
  readonly environment: string;
  readonly keys: NonNullable<OverrideOptions["keys"]>;
}

/**
 * Verifies pins: an envelope in base64url.
 *
 * @throws {LoadError}
 */
export async function readPins(
  host: Host,
  token: string,
  overrides: OverrideOptions,
  options: Options,
  clock: () => number,
): Promise<Pins> {
  const { environment, expires, pins } = (await host.openPins(
    decode(token),
    JSON.stringify(overrides.keys ?? options.keys),
  )) as SignedPins;
  if (environment !== options.environment) {
    throw new LoadError("SNAPSHOT", `they are for the environment \`${environment}\`, not \`${options.environment}\``);
  }
  if (!(clock() < Date.parse(expires))) throw new LoadError("EXPIRED", `they expired at ${expires}`);
  return pins;
}

/** The pins of this browser: from the page's address, which the cookie then remembers until they expire, or the cookie. */
export async function findPins(
  host: Host,
  overrides: OverrideOptions,
  options: Options,
  clock: () => number,
): Promise<Pins> {
  const { name = NAME } = overrides;
  if (typeof document === "undefined") return {};
  const linked = new URL(location.href).searchParams.get(name);
  const token = linked ?? cookie(name);
  if (token === undefined || token === OFF) {
    if (linked === OFF) forget(name);
    return {};
  }
  try {
    const pins = await readPins(host, token, overrides, options, clock);
    if (linked !== null) document.cookie = `${name}=${token}; Path=/; SameSite=Lax${secure()}`;
    return pins;
  } catch (error) {
    if (linked === null) forget(name);
    throw error;
  }
}

function cookie(name: string): string | undefined {
  const found = document.cookie.split("; ").find((cookie) => cookie.startsWith(`${name}=`));
  return found?.slice(name.length + 1);
}

function forget(name: string): void {
  document.cookie = `${name}=; Path=/; Max-Age=0; SameSite=Lax${secure()}`;
}

const secure = (): string => (location.protocol === "https:" ? "; Secure" : "");

function decode(token: string): string {
  try {
    const bytes = Uint8Array.from(atob(token.replaceAll("-", "+").replaceAll("_", "/")), (byte) => byte.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new LoadError("ENVELOPE", "they are no base64url", { cause: error });
  }
}
