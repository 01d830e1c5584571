// The two systems: how requests get there, and how the old one answers for the new one where that fails.

export const NEW = "new-system";
export const OLD = "old-system";
export type System = typeof NEW | typeof OLD;

export interface OriginsEnv {
  /** Scheme, host and port of the new system. */
  readonly NEW_ORIGIN: string;
  /** Scheme, host and port of the old system. */
  readonly OLD_ORIGIN: string;
  /** How long the new system may take to begin its answer before the old one is asked, in milliseconds. By default 10,000. */
  readonly NEW_ORIGIN_TIMEOUT?: number;
  /** The new system's statuses on which the old one is asked. By default all from 500 on. */
  readonly FALLBACK_STATUSES?: readonly number[];
}

export interface Forwarded {
  readonly response: Response;
  /** Why the old system answered for the new one: the new one's status, `timeout` or `unreachable`. */
  readonly fallback?: string | undefined;
}

const TIMEOUT_MS = 10_000;
/** What a response says to shared caches, or of them. */
const SHARED = /^(public|private|s-maxage)\b/i;
/** Methods that change nothing (RFC 9110, section 9.2.1), so that asking twice does no harm. */
const SAFE = new Set(["GET", "HEAD", "OPTIONS"]);

/**
 * Has a system answer, and where the new one fails, the old one: for requests that may be sent twice. What may have changed
 * something, or has a body, is sent once. Never rejects.
 */
export async function forward(request: Request, system: System, env: OriginsEnv): Promise<Forwarded> {
  if (system === OLD) return { response: await sendOnce(request, OLD, env.OLD_ORIGIN) };
  if (!SAFE.has(request.method) || request.body !== null) {
    return { response: await sendOnce(request, NEW, env.NEW_ORIGIN) };
  }
  const late = new AbortController();
  const timer = setTimeout(() => {
    late.abort();
  }, env.NEW_ORIGIN_TIMEOUT ?? TIMEOUT_MS);
  let fallback: string;
  try {
    const response = await send(request, env.NEW_ORIGIN, late.signal);
    if (!isFailure(response.status, env)) return { response };
    await response.body?.cancel();
    fallback = String(response.status);
  } catch (error) {
    console.error(error);
    fallback = late.signal.aborted ? "timeout" : "unreachable";
  } finally {
    // The rest of the answer may take its time.
    clearTimeout(timer);
  }
  return { response: await sendOnce(request, OLD, env.OLD_ORIGIN), fallback };
}

async function sendOnce(request: Request, system: System, origin: string): Promise<Response> {
  try {
    return await send(request, origin);
  } catch (error) {
    console.error(error);
    return new Response(`the ${system} cannot be reached\n`, { status: 502 });
  }
}

function isFailure(status: number, { FALLBACK_STATUSES }: OriginsEnv): boolean {
  return FALLBACK_STATUSES === undefined ? status >= 500 : FALLBACK_STATUSES.includes(status);
}

/** Sends a request as it came, bodies streaming. Redirects are for the browser to follow. */
async function send(request: Request, origin: string, signal?: AbortSignal): Promise<Response> {
  const { protocol, hostname, port } = new URL(origin);
  const url = new URL(request.url);
  const headers = new Headers(request.headers);
  headers.set("X-Forwarded-Host", url.host);
  // Each by itself: a path such as `//elsewhere.example` must not become the host.
  Object.assign(url, { protocol, hostname, port });
  return fetch(new Request(url, request), { headers, redirect: "manual", ...(signal && { signal }) });
}

/**
 * Lets only the user's own browser keep a response, for the next user may be in the other cohort. What an origin says of how
 * long is left as it is.
 */
export function withoutSharedCaching(headers: Headers): void {
  // Commas part directives, but not inside quotes.
  const directives = (headers.get("Cache-Control") ?? "").match(/("[^"]*"|[^",])+/g) ?? [];
  const own = directives.map((directive) => directive.trim()).filter((directive) => !SHARED.test(directive));
  headers.set("Cache-Control", ["private", ...own.filter(Boolean)].join(", "));
  // Meant for shared caches alone (RFC 9213), and heeded by them before the above.
  for (const name of ["CDN-Cache-Control", "Cloudflare-CDN-Cache-Control", "Surrogate-Control"]) headers.delete(name);
}
