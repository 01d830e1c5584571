// What every JavaScript runtime does for `flagstone parity`: it asks for work, does it through the package's public API, and
// answers. `native.rs` is the same in Rust.

/**
 * Works until there is nothing left to do.
 *
 * @param {string} url where to send answers and get commands
 * @param {string} version what this runtime calls itself
 * @param {typeof import("flagstone").FlagstoneClient} FlagstoneClient
 */
export async function work(url, version, FlagstoneClient) {
  let now = 0;
  let sides = [];
  const commands = {
    async start({ environment, keys, snapshots }) {
      now = snapshots[0].now;
      sides = await Promise.all(
        snapshots.map(async ({ audience, envelope, questions }) => {
          const client = await FlagstoneClient.start({ source: envelope, environment, audience, keys, now: () => now });
          if (client.error !== undefined) throw client.error;
          return { client, questions };
        }),
      );
      return {};
    },
    async evaluate({ contexts, ...command }) {
      now = command.now;
      const { distinct, sequence } = evaluate(sides, contexts.map(revive), command.thoroughly);
      return { digest: await digest(distinct, sequence) };
    },
    async results({ contexts, ...command }) {
      now = command.now;
      const { distinct, sequence } = evaluate(sides, contexts.map(revive), 0);
      return { distinct, sequence };
    },
  };
  let answer = { version };
  for (;;) {
    const response = await fetch(url, { method: "POST", body: JSON.stringify(answer) });
    if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
    const command = await response.json();
    if (command.do === "end") return;
    try {
      answer = await commands[command.do](command);
    } catch (error) {
      answer = { error: String(error?.stack ?? error) };
    }
  }
}

/** Every question for every user: each distinct result once, and the sequence of their numbers. */
function evaluate(sides, users, thoroughly) {
  const numbers = new Map();
  const sequence = [];
  // Most results were seen before: for each question, those that were, found without writing them out.
  const seen = sides.map(({ questions }) => questions.map(() => []));
  const numberOf = (known, { value, variant, reason, errorCode, flagMetadata: { rule } }) => {
    for (const one of known) {
      const same = one.variant === variant && one.reason === reason && one.rule === rule && one.errorCode === errorCode;
      if (same && Object.is(one.value, value)) return one.number;
    }
    const result = text({ value, variant, reason, errorCode, flagMetadata: { rule } });
    const number = numbers.get(result) ?? numbers.size;
    numbers.set(result, number);
    known.push({ value, variant, reason, errorCode, rule, number });
    return number;
  };
  users.forEach((user, index) => {
    sides.forEach(({ client, questions }, side) => {
      const subject = client.subject(user);
      questions.forEach(([flag, fallback], place) => {
        sequence.push(numberOf(seen[side][place], subject.details(flag, fallback)));
      });
      if (index < thoroughly) compare(client, questions, user, subject);
    });
  });
  return { distinct: [...numbers.keys()], sequence };
}

/** Throws where asking with the context itself, or for all flags at once, gives something else than the subject did. */
function compare(client, questions, user, subject) {
  const all = new Map(client.all(user).map((details) => [details.flagKey, details]));
  questions.forEach(([flag, fallback]) => {
    const expected = text(subject.details(flag, fallback));
    const same = (name, details) => {
      if (text(details) === expected) return;
      throw new Error(`${name} says ${text(details)} of ${flag}, a subject says ${expected}, for ${JSON.stringify(user)}`);
    };
    const details = client.details(flag, fallback, user);
    same("details", details);
    if (details.errorCode === "FLAG_NOT_FOUND") {
      if (all.has(flag)) throw new Error(`all: there is no flag ${flag}`);
    } else if (details.errorCode !== "TYPE_MISMATCH") {
      // It is not asked for a type, and is given no fallback.
      same("all", details.errorCode === undefined ? all.get(flag) : { ...all.get(flag), value: fallback });
    }
  });
}

/** Value, variant, reason, rule and error code. */
function text({ value, variant, reason, errorCode, flagMetadata }) {
  return `[${canonical(value)},${name(variant)},${name(reason)},${name(flagMetadata.rule)},${name(errorCode)}]`;
}

function name(name) {
  return name === undefined ? "null" : JSON.stringify(name);
}

/** JSON as RFC 8785 writes it, but for numbers: the shortest digits that name the double, and −0 by its sign. */
function canonical(value) {
  switch (typeof value) {
    case "number":
      return Object.is(value, -0) ? "-0e0" : value.toExponential().replace("+", "");
    case "object":
      if (value === null) return "null";
      if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
      return `{${Object.keys(value)
        .sort()
        .map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`)
        .join(",")}}`;
    default:
      return String(JSON.stringify(value));
  }
}

/** Builds what JSON cannot say: see `users.rs`. */
function revive(value) {
  if (typeof value !== "object" || value === null) return value;
  if (Object.hasOwn(value, "$flagstone")) {
    switch (value.$flagstone) {
      case "date":
        return new Date(value.millis ?? NaN);
      case "undefined":
        return undefined;
      default:
        return Number(value.$flagstone);
    }
  }
  for (const key of Object.keys(value)) {
    const revived = revive(value[key]);
    // An assignment to `__proto__` would do something else.
    if (revived !== value[key]) Object.defineProperty(value, key, { value: revived, enumerable: true });
  }
  return value;
}

async function digest(distinct, sequence) {
  const head = new TextEncoder().encode(`${distinct.map((text) => `${text}\n`).join("")}\n`);
  const bytes = new Uint8Array(head.length + 4 * sequence.length);
  bytes.set(head);
  const view = new DataView(bytes.buffer, head.length);
  sequence.forEach((number, place) => view.setUint32(4 * place, number, true));
  const sha256 = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(sha256, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
