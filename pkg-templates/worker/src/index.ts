// Routes each user to the new system or to the old one, as a flag says; whenever in doubt, to the old one.
import { anonymousIdCookie, readAnonymousId, type FlagstoneClient } from "flagstone";
import { currentFlags, type FlagsEnv } from "./flags.js";
import { NEW, OLD, forward, withoutSharedCaching, type OriginsEnv, type System } from "./origins.js";

/** What wrangler.jsonc configures. */
export interface Env extends FlagsEnv, OriginsEnv {
  /** The flag that decides: a string flag whose variants' values are `new-system` and `old-system`. */
  readonly FLAG: string;
  /** Whether responses say why in a header: `Flagstone-System: new-system;reason=SPLIT;version=7`. By default they do not. */
  readonly DEBUG_HEADER?: boolean;
}

/**
 * The id of whoever is signed in, undefined for nobody; it is what the flag buckets by, instead of the anonymous id.
 *
 * Yours to write. Anybody can send any header and any cookie, and so choose a cohort: return an id only from what your
 * application has signed (a session cookie or a token whose signature you check here), or what a proxy in front of this
 * Worker always overwrites (`Cf-Access-Jwt-Assertion`, once verified). Someone who signs in may change cohort, unless the flag
 * says `bucketBy: anonymousId`.
 */
function signedInUser(_request: Request, _env: Env): Promise<string | undefined> | string | undefined {
  return undefined;
}

export default {
  async fetch(request, env, ctx) {
    const asked = performance.now();
    const decision = await decide(request, env, ctx);
    const duration = performance.now() - asked;

    const { response, fallback } = await forward(request, decision.system, env);

    const { system, reason, version, cookies } = decision;
    // No user's id: what is logged is kept, and searched.
    console.log({ message: "routed", flag: env.FLAG, system, reason, version, fallback });
    const routed = new Response(response.body, response);
    withoutSharedCaching(routed.headers);
    for (const cookie of cookies) routed.headers.append("Set-Cookie", cookie);
    routed.headers.append("Server-Timing", `flags;desc="${system}";dur=${duration}`);
    if (fallback !== undefined) routed.headers.append("Server-Timing", `fallback;desc="${fallback}"`);
    if (env.DEBUG_HEADER) {
      const why = [system, `reason=${reason}`, version && `version=${version}`, fallback && `fallback=${fallback}`];
      routed.headers.set("Flagstone-System", why.filter(Boolean).join(";"));
    }
    return routed;
  },
} satisfies ExportedHandler<Env>;

interface Decision {
  readonly system: System;
  /** Why, in OpenFeature's words. */
  readonly reason: string;
  /** The snapshot that decided. */
  readonly version?: number | undefined;
  /** Values of `Set-Cookie` headers. */
  readonly cookies: readonly string[];
}

/** Never rejects: a request must be routed. */
async function decide(request: Request, env: Env, ctx: ExecutionContext): Promise<Decision> {
  try {
    const flags = await currentFlags(env, ctx);
    if (flags === undefined) return { system: OLD, reason: "ERROR", cookies: [] };

    const { anonymousId, cookie } = identify(request, flags);
    const user = await signedInUser(request, env);
    const { pins, cookie: pinsCookie } = await flags.requestPins(request);
    const subject = flags.subject({ targetingKey: user ?? anonymousId, anonymousId }, pins && { pins });

    const { value, reason, flagMetadata } = subject.details(env.FLAG, OLD as string);
    const system = value === NEW ? NEW : OLD;
    const cookies = [cookie, pinsCookie].filter((cookie) => cookie !== undefined);
    return { system, reason, version: flagMetadata.version, cookies };
  } catch (error) {
    console.error(error);
    return { system: OLD, reason: "ERROR", cookies: [] };
  }
}

/** Who someone is before signing in, and the cookie that has the browser remember it. */
function identify(request: Request, flags: FlagstoneClient): { anonymousId: string; cookie: string | undefined } {
  const kept = readAnonymousId(request);
  const anonymousId = kept ?? flags.anonymousId();
  // Written again with each page, so that it is kept on for whoever comes back.
  const isDue = kept === undefined || request.headers.get("Sec-Fetch-Mode") === "navigate";
  const secure = new URL(request.url).protocol === "https:";
  return { anonymousId, cookie: isDue ? anonymousIdCookie(anonymousId, { secure }) : undefined };
}
