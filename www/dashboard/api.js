// What the page asks of the server: its public HTTP interface, as `admin/v1/openapi.json` has it.
import { token } from "./session.js";

/** A server that says nothing for so long is not reached. */
const PATIENCE_MS = 20_000;

/** The page may be served below a path of somebody's own. */
export const address = (path) => new URL(`../${path}`, document.baseURI);

/** The server did not answer, or what answered was something else. */
export class Unreachable extends Error {}

/** The server said no, and why: a problem of RFC 9457. */
export class Refused extends Error {
  constructor({ status, code, detail, meanwhile = [], version }, retryAfter) {
    super(detail);
    Object.assign(this, { status, code, meanwhile, version, retryAfter });
  }
}

let whenSignedOut = () => {};

/** Is told why, when a token no longer counts. */
export const onSignedOut = (tell) => (whenSignedOut = tell);

/** Asks, and returns the body; `asked.ifMatch` is the version that a change goes by. */
export async function ask(path, { method = "GET", body, ifMatch, signal, as = token() } = {}) {
  const headers = { authorization: `Bearer ${as}` };
  if (body) headers["content-type"] = "application/json";
  if (ifMatch !== undefined) headers["if-match"] = `"${ifMatch}"`;
  const signals = [AbortSignal.timeout(PATIENCE_MS), ...(signal ? [signal] : [])];
  const options = { method, headers, cache: "no-store", credentials: "omit", signal: AbortSignal.any(signals) };
  let response, answer;
  try {
    response = await fetch(address(path), { ...options, body: body && JSON.stringify(body) });
    answer = await response.json();
  } catch (error) {
    signal?.throwIfAborted();
    throw new Unreachable(
      response ? `The server answered ${response.status}, and no JSON` : "The server does not answer",
      {
        cause: error,
      },
    );
  }
  signal?.throwIfAborted();
  if (response.ok) return answer;
  const refused = new Refused({ detail: "", ...answer, status: response.status }, response.headers.get("retry-after"));
  if (response.status === 401 && as === token()) whenSignedOut(refused.message);
  throw refused;
}

/** Where what is asked of an environment is. */
export const environmentPath = (environment, ...parts) =>
  ["admin/v1/environments", ...[environment, ...parts].map(encodeURIComponent)].join("/");
