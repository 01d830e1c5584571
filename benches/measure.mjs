// How long someone takes, in whatever runs this: Node.js or a page.
import { flags, user } from "./workload.mjs";

/** Milliseconds; long enough for a page's clock. */
const SAMPLE = 5;
const MIN_SAMPLES = 9;
const MIN_LOADS = 5;

const USERS = Array.from({ length: 64 }, (_, index) => user(index));

/** What was answered last, so that nobody can find out that it is never looked at. */
export let last;
const keep = (answer) => {
  last = answer;
};

export function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

/** Nanoseconds a call, where `run` makes so many: the median of samples, after as long a time for warming up. */
export async function time(calls, milliseconds, run) {
  const isAsync = run() instanceof Promise;
  const repeat = async (times) => {
    if (isAsync) for (let index = 0; index < times; index++) await run();
    else for (let index = 0; index < times; index++) run();
  };
  let runs = 0;
  const start = performance.now();
  while (performance.now() < start + milliseconds) {
    await repeat(1);
    runs++;
  }
  const times = Math.ceil((runs * SAMPLE) / milliseconds);
  const samples = [];
  const end = performance.now() + milliseconds;
  while (performance.now() < end || samples.length < MIN_SAMPLES) {
    const start = performance.now();
    await repeat(times);
    samples.push(performance.now() - start);
  }
  return (median(samples) * 1e6) / times / calls;
}

let loops = 0;

/**
 * Asks for one flag after another, and waits for answers that are promised. Each is a loop of its own, as each caller's is: what
 * is called from one place by many is never inlined there.
 */
export function asking(keys, ask) {
  const [isAsync, wait] = ask(keys[0], 0) instanceof Promise ? ["async", "await"] : ["", ""];
  const body = `for (let index = 0; index < keys.length; index++) keep(${wait} ask(keys[index], index)); // ${loops++}`;
  return new Function("keys", "ask", "keep", `return ${isAsync} () => {${body}\n}`)(keys, ask, keep);
}

async function timeOne(load, definitions) {
  const start = performance.now();
  const evaluator = await load(definitions);
  const milliseconds = performance.now() - start;
  await evaluator.close?.();
  return milliseconds;
}

/**
 * Measures everything there is, for about so long each.
 *
 * - `w1`, `w2`: nanoseconds a flag. Each time for another user, who comes as a new plain object; `prepared`: for one, for whom
 *   everything was made before that can be made once a user.
 * - `w3 …`: nanoseconds for 100 flags of one user, by each way there is.
 * - `w4`: milliseconds from the definitions' text of 1,000 flags until they can be asked for; `w4 first`: and the first time.
 */
export async function measure({ definitions, load, context }, milliseconds) {
  const results = {};
  const many = await definitions(flags(1000));
  results["w4 first"] = await timeOne(load, many);

  const { ramps, rules } = flags(100);
  const keys = [...ramps, ...rules];
  const half = ramps.length;
  const evaluator = await load(await definitions({ ramps, rules }));
  const { boolean, string, all, prepare } = evaluator;
  const run = async (name, calls, work) => {
    results[name] = await time(calls, milliseconds, work);
  };
  await run(
    "w1",
    half,
    asking(ramps, (key, index) => boolean(key, context(USERS[index]))),
  );
  await run(
    "w2",
    half,
    asking(rules, (key, index) => string(key, context(USERS[index]))),
  );
  let turn = 0;
  const next = () => context(USERS[turn++ % USERS.length]);
  let current = next();
  const one = asking(keys, (key, index) => (index < half ? boolean(key, current) : string(key, current)));
  await run("w3 one by one", 1, () => {
    current = next();
    return one();
  });
  if (all) await run("w3 all", 1, () => all(next(), keys));
  if (prepare) {
    let user = prepare(next());
    const prepared = asking(keys, (key, index) => (index < half ? user.boolean(key) : user.string(key)));
    await run("w3 prepared on the way", 1, () => {
      user.close?.();
      user = prepare(next());
      return prepared();
    });
    user.close?.();
  }

  // Who has nothing to prepare is given the same object again.
  const again = context(USERS[0]);
  const user = prepare?.(again) ?? {
    boolean: (key) => boolean(key, again),
    string: (key) => string(key, again),
    all: all && (() => all(again, keys)),
  };
  await run(
    "w1 prepared",
    half,
    asking(ramps, (key) => user.boolean(key)),
  );
  await run(
    "w2 prepared",
    half,
    asking(rules, (key) => user.string(key)),
  );
  const each = asking(keys, (key, index) => (index < half ? user.boolean(key) : user.string(key)));
  await run("w3 prepared one by one", 1, each);
  if (user.all) await run("w3 prepared all", 1, () => user.all());
  user.close?.();
  await evaluator.close?.();

  const loads = [];
  const end = performance.now() + milliseconds;
  while (performance.now() < end || loads.length < MIN_LOADS) loads.push(await timeOne(load, many));
  results.w4 = median(loads);
  return results;
}
