// What the page asks of the server that serves it: all that takes the native command.

/** The server did not answer. */
export class Unreachable extends Error {}

/** The server, or the command behind it, said no, and why. */
export class Refused extends Error {}

async function request(path, options, signal) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", ...options, signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw new Unreachable("The server of this page does not answer", { cause: error });
  }
  const answer = await response.json().catch(() => undefined);
  // An answer to what was asked before must not take effect, even if it came in one piece.
  signal?.throwIfAborted();
  if (answer === undefined) throw new Unreachable(`The server of this page answered ${response.status}, and no JSON`);
  if (!response.ok) throw new Refused(answer.error);
  return answer;
}

export const get = (path, signal) => request(path, {}, signal);

export const ask = (path, question, signal) =>
  request(
    path,
    { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(question) },
    signal,
  );
