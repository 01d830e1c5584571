// Whether someone answers what they should, before how fast they do it counts for anything.
import { ABOVE, BELOW, flags, KNOWN, user } from "./workload.mjs";

const USERS = 200;
/** Of 10,000 answers a share is off by this much once in a very long while. */
const TOLERANCE = 0.03;

function expect(holds, message) {
  if (!holds) throw new Error(message);
}

function share(name, answers, value, expected) {
  const found = answers.filter((answer) => answer === value).length / answers.length;
  const off = `${name}: ${(100 * found).toFixed(1)} % are ${value}, not about ${100 * expected} %`;
  expect(Math.abs(found - expected) < TOLERANCE, off);
}

/** Whether the flags of the workload are decided as they say. */
export async function check({ definitions, load, context, found }) {
  const { ramps, rules } = flags(100);
  const evaluator = await load(await definitions({ ramps, rules }));
  const ask = async (keys, users, question) => {
    const answers = [];
    for (const key of keys) for (const user of users) answers.push(await question(key, context(user)));
    return answers;
  };
  const users = Array.from({ length: USERS }, (_, index) => user(index));
  const on = await ask(ramps, users, evaluator.boolean);
  expect(
    on.every((answer) => typeof answer === "boolean"),
    "ramps: an answer is no boolean",
  );
  share("ramps", on, true, 0.25);
  const split = await ask(rules, users, evaluator.string);
  share("split", split, "A", 0.5);
  share("split", split, "B", 0.5);
  for (const [index, other] of [...KNOWN, ABOVE].entries()) {
    const answers = await ask(rules, [user(index, other)], evaluator.string);
    const isServed = answers.every((answer) => answer === "A");
    expect(isServed, `rules: someone with ${JSON.stringify(other)} is not served A everywhere`);
  }
  const older = await ask(rules, [user(0, BELOW)], evaluator.string);
  expect(older.includes("B"), `rules: someone with ${JSON.stringify(BELOW)} is served A everywhere`);
  for (const user of users.slice(0, 10)) {
    const prepared = evaluator.prepare?.(context(user));
    const all = await evaluator.all?.(context(user), [...ramps, ...rules]);
    for (const [keys, type] of [
      [ramps, "boolean"],
      [rules, "string"],
    ]) {
      // prettier-ignore
      for (const key of keys) {
        const answer = await evaluator[type](key, context(user));
        if (prepared) expect(prepared[type](key) === answer, `${key}: a prepared user is served something else`);
        if (all) expect(found(all, key) === answer, `${key}: asking for all gives something else`);
      }
    }
    await prepared?.close?.();
  }
  await evaluator.close?.();
}
