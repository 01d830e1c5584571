// The few things that every part of the page does with elements.

export const $ = (id) => document.getElementById(id);

/** An element with text, never markup, in it. */
export function element(name, { text = "", className = "", ...properties } = {}, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  Object.assign(made, properties);
  made.append(text, ...children);
  return made;
}

/** A message, what stands between backticks as code. */
export const prose = (text) =>
  text.split("`").map((part, index) => (index % 2 ? element("code", { text: part }) : part));

export const quiet = (text) => element("p", { className: "quiet", text });

/** Text for those who listen alone. */
export const unseen = (text) => element("span", { className: "unseen", text });

export const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

export const timeOf = (date) => date.toLocaleTimeString("en-GB");

/**
 * `run`, of whose calls only the newest counts: it is given a signal that is aborted by the next call, after which nothing
 * comes of it, neither a result nor an error. `isRunning()` says whether one is under way.
 */
export function newest(run) {
  let current;
  const call = async (...args) => {
    current?.abort();
    const mine = (current = new AbortController());
    try {
      return await run(mine.signal, ...args);
    } catch (error) {
      if (!mine.signal.aborted) throw error;
      return undefined;
    } finally {
      if (current === mine) current = undefined;
    }
  };
  call.isRunning = () => current !== undefined;
  return call;
}

/** Waits, unless the signal says before that nobody waits any more. */
export const pause = (ms, signal) =>
  new Promise((resolve, reject) => {
    setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
