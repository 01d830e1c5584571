// Who a user is before signing in: a random id, kept by the first party in a cookie or where the app likes.

/** The cookie in which an anonymous id is kept. It is first-party: `SameSite=Lax; Path=/`. */
export interface AnonymousIdCookie {
  /** Its name, a token as RFC 6265 has it. By default `flagstone_id`. */
  readonly name?: string;
  /** For how many seconds it is kept, counted anew each time it is written: 1 to 34,560,000 (400 days). By default 180 days. */
  readonly maxAge?: number;
  /** A domain all of whose hosts share it, such as `example.com`. By default the host alone has it. */
  readonly domain?: string;
  /** Whether it goes over https only. By default true; in a page, whether the page came that way. */
  readonly secure?: boolean;
}

/** Where an {@link AnonymousId} is kept. Where it throws, the id lives in memory. */
export interface AnonymousIdStorage {
  /** What is kept; all but an id counts as nothing. */
  read(): string | null | undefined;
  write(id: string): void;
  remove(): void;
}

/** How an {@link AnonymousId} is kept. */
export interface AnonymousIdOptions {
  /** Where. By default {@link cookieStorage} in a page, and only in memory elsewhere. */
  readonly storage?: AnonymousIdStorage;
  /**
   * Whether the user agrees to its being kept. By default true: say false where the law or you want to ask first, and
   * {@link AnonymousId.setConsent} once the user has answered.
   */
  readonly consent?: boolean;
  /**
   * Whether an id that was kept is written again when it is read, so that it is kept on. By default true; say false where
   * your server sets the cookie, for Safari deletes what a page wrote after 7 days.
   */
  readonly renew?: boolean;
  /** Told, once, where the id cannot be kept. By default `console.warn`. */
  readonly warn?: (message: string) => void;
}

const NAME = "flagstone_id";
const DAY_S = 86_400;
const MAX_AGE_S = 180 * DAY_S;
/** Browsers keep no cookie for longer (RFC 6265bis). */
const LONGEST_MAX_AGE_S = 400 * DAY_S;

/** 128 random bits, as `FlagstoneClient.anonymousId` writes them. */
const ID = /^[0-9a-f]{32}$/;
/** A token of RFC 7230, which a cookie's name is. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const DOMAIN = /^\.?[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*$/;

/**
 * One page's anonymous id: made by the engine, kept for the visits to come if the user agrees.
 *
 * ```js
 * const anonymous = new AnonymousId(flags, { consent: false });
 * flags.boolean("use_new_home", false, { targetingKey: anonymous.id, anonymousId: anonymous.id });
 * cookieBanner.onAnswer((agreed) => anonymous.setConsent(agreed));
 * ```
 *
 * When a user signs in, `targetingKey` becomes the account's, and a flag that buckets by it, as flags do unless they say
 * otherwise, may serve another cohort from then on. A flag whose cohort must survive says `bucketBy: anonymousId`, and the
 * context keeps that beside the key:
 *
 * ```js
 * flags.boolean("use_new_home", false, { targetingKey: account.id, anonymousId: anonymous.id });
 * ```
 *
 * On another device the same user has another anonymous id. To keep the cohort there too, store the first one with the
 * account and pass that: `anonymousId: (account.anonymousId ??= anonymous.id)`.
 *
 * It is for pages, where there is one user: a server reads each request's with {@link readAnonymousId}.
 */
export class AnonymousId {
  readonly #source: { anonymousId(): string };
  readonly #storage: AnonymousIdStorage | undefined;
  readonly #renew: boolean;
  readonly #warn: (message: string) => void;
  #consent: boolean;
  #id: string | undefined;

  /** @param source makes ids: a `FlagstoneClient` */
  constructor(source: { anonymousId(): string }, options: AnonymousIdOptions = {}) {
    const { storage, consent = true, renew = true, warn = console.warn } = options;
    this.#source = source;
    this.#storage = storage ?? (typeof document === "undefined" ? undefined : cookieStorage());
    this.#consent = consent;
    this.#renew = renew;
    this.#warn = warn;
  }

  /** The id: 32 hexadecimal digits, the same for as long as the page lives. */
  get id(): string {
    if (this.#id !== undefined) return this.#id;
    const kept = this.#consent ? this.#read() : undefined;
    this.#id = kept ?? this.#source.anonymousId();
    if (this.#consent && (kept === undefined || this.#renew)) this.#keep(this.#id);
    return this.#id;
  }

  /** Whether the user agrees to the id's being kept. */
  get consent(): boolean {
    return this.#consent;
  }

  /**
   * Says whether the user agrees to the id's being kept. Whoever agrees keeps the id that this page has used, if it has, and
   * else the one of an earlier visit; whoever does not has it deleted, and keeps it in memory until the page ends.
   */
  setConsent(consent: boolean): void {
    const before = this.#consent;
    this.#consent = consent;
    if (!consent) {
      try {
        this.#storage?.remove();
      } catch {
        // What cannot be reached was not kept either.
      }
    } else if (!before && this.#id !== undefined) {
      this.#keep(this.#id);
    }
  }

  #read(): string | undefined {
    try {
      const kept = this.#storage?.read();
      return isAnonymousId(kept) ? kept : undefined;
    } catch {
      return undefined;
    }
  }

  #keep(id: string): void {
    if (this.#storage === undefined) return;
    try {
      this.#storage.write(id);
    } catch {
      // Found out right below, as is what a browser refuses without a word.
    }
    if (this.#read() === id) return;
    this.#warn("flagstone: the anonymous id is not kept, for its storage is blocked: the next page has another");
  }
}

/**
 * The storage that a page has in its cookies.
 *
 * @throws {TypeError} Where the cookie cannot be one, or there is no page.
 */
export function cookieStorage(cookie: AnonymousIdCookie = {}): AnonymousIdStorage {
  if (typeof document === "undefined") {
    throw new TypeError("cookieStorage is for pages: a server has readAnonymousId and anonymousIdCookie");
  }
  const own = { secure: location.protocol === "https:", ...cookie };
  // So that a mistake shows here, and not as storage that is blocked.
  expiredAnonymousIdCookie(own);
  return {
    read: () => readAnonymousId(document.cookie, own),
    write(id) {
      document.cookie = anonymousIdCookie(id, own);
    },
    remove() {
      document.cookie = expiredAnonymousIdCookie(own);
    },
  };
}

/**
 * The anonymous id that a request came with, in a server or a Worker; undefined where it has none that could be one. Of two
 * cookies of that name the first that could be counts, as in a page.
 *
 * ```js
 * const kept = readAnonymousId(request);
 * const id = kept ?? flags.anonymousId();
 * const response = await serve(request, { targetingKey: id, anonymousId: id });
 * response.headers.append("Set-Cookie", anonymousIdCookie(id)); // each time, so that it is kept on
 * ```
 *
 * A response that sets it must not be kept by a shared cache, or many users get one id: `Cache-Control: private`. It is no
 * secret and proves nothing: whoever sends a request chooses it.
 *
 * @param cookies a `Request`, or the text of its `Cookie` header
 */
export function readAnonymousId(
  cookies: { readonly headers: { get(name: string): string | null } } | string | null | undefined,
  { name = NAME }: Pick<AnonymousIdCookie, "name"> = {},
): string | undefined {
  const header = typeof cookies === "object" ? cookies?.headers.get("cookie") : cookies;
  for (const pair of header?.split(";") ?? []) {
    const equals = pair.indexOf("=");
    const value = pair.slice(equals + 1).trim();
    if (equals > 0 && pair.slice(0, equals).trim() === name && isAnonymousId(value)) return value;
  }
  return undefined;
}

/**
 * The value of a `Set-Cookie` header that keeps an anonymous id. Scripts may read it, so that a page buckets as its server
 * did.
 *
 * @throws {TypeError} Where it is no anonymous id, or the cookie cannot be one.
 */
export function anonymousIdCookie(id: string, cookie: AnonymousIdCookie = {}): string {
  if (!isAnonymousId(id)) throw new TypeError("an anonymous id is 32 hexadecimal digits, in lower case");
  return setCookie(id, cookie);
}

/**
 * The value of a `Set-Cookie` header that deletes the id, when a user no longer agrees to its being kept.
 *
 * @throws {TypeError} Where the cookie cannot be one.
 */
export function expiredAnonymousIdCookie(cookie: AnonymousIdCookie = {}): string {
  return setCookie("", cookie, 0);
}

function setCookie(value: string, cookie: AnonymousIdCookie, seconds?: number): string {
  const { name = NAME, maxAge = MAX_AGE_S, domain, secure = true } = cookie;
  if (!TOKEN.test(name)) throw new TypeError(`a cookie cannot be named ${JSON.stringify(name)}`);
  if (!Number.isInteger(maxAge) || maxAge < 1 || maxAge > LONGEST_MAX_AGE_S) {
    throw new TypeError(`a cookie's maxAge is whole seconds, 1 to ${LONGEST_MAX_AGE_S}, and not ${maxAge}`);
  }
  if (domain !== undefined && !DOMAIN.test(domain)) {
    throw new TypeError(`a cookie cannot be for the domain ${JSON.stringify(domain)}`);
  }
  const attributes = [`${name}=${value}`, "Path=/", `Max-Age=${seconds ?? maxAge}`, "SameSite=Lax"];
  if (domain !== undefined) attributes.push(`Domain=${domain}`);
  if (secure) attributes.push("Secure");
  return attributes.join("; ");
}

function isAnonymousId(value: unknown): value is string {
  return typeof value === "string" && ID.test(value);
}
