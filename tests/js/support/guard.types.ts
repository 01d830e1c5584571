// What the types of `guard` and `shadow` say, checked by tests/js/guard.test.mjs: this is compiled, never run.
import type { FlagstoneClient } from "flagstone";
import { Guards } from "flagstone/guard";

declare const flags: FlagstoneClient;
const guards = new Guards(flags);
declare const thenable: PromiseLike<string>;

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function is<Expected>() {
  return <Actual>(_: Actual, same: Same<Actual, Expected>) => same;
}

// Synchronous paths give a synchronous result, asynchronous ones a promise.
is<number>()(
  guards.guard(
    "f",
    {},
    () => Number("1"),
    () => Number("2"),
  ),
  true,
);
is<number | string>()(
  guards.guard(
    "f",
    {},
    () => Number("1"),
    () => String("2"),
  ),
  true,
);
is<boolean>()(
  guards.guard(
    "f",
    undefined,
    () => Math.random() < 1,
    () => Math.random() < 1,
  ),
  true,
);
is<Promise<number>>()(
  guards.guard(
    "f",
    {},
    async () => Number("1"),
    async () => Number("2"),
  ),
  true,
);
is<Promise<number | string>>()(
  guards.guard(
    "f",
    {},
    async () => Number("1"),
    async () => String("2"),
  ),
  true,
);
is<Promise<string>>()(
  guards.guard(
    "f",
    {},
    () => thenable,
    () => thenable,
  ),
  true,
);
void guards
  .guard(
    "f",
    {},
    async () => 1,
    async () => 2,
  )
  .then((value) => value.toFixed());
// Mixed ones give either.
is<string | Promise<number | string>>()(
  guards.guard(
    "f",
    {},
    async () => Number("1"),
    () => String("2"),
  ),
  true,
);
is<number | Promise<string>>()(
  guards.guard(
    "f",
    {},
    () => Number("1"),
    async () => String("2"),
  ),
  true,
);
// A path that never returns adds nothing.
const never = (): never => {
  throw new Error();
};
is<string>()(
  guards.guard("f", {}, never, () => String("2")),
  true,
);
is<number>()(
  guards.guard("f", {}, () => Number("1"), never),
  true,
);
is<Promise<number>>()(
  guards.guard("f", {}, async () => Number("1"), never),
  true,
);

// A signal, contexts of both kinds, options.
guards.guard(
  "f",
  flags.subject({ targetingKey: "u" }),
  (signal) => signal.aborted,
  () => false,
  { timeout: 5 },
);
guards.guard(
  "f",
  {},
  () => 1,
  () => 2,
  // @ts-expect-error A misspelt option.
  { timout: 5 },
);
// @ts-expect-error A result where a path is wanted.
guards.guard("f", {}, 1, () => 2);

is<number>()(
  guards.shadow(
    "f",
    {},
    async () => String("1"),
    () => Number("2"),
  ),
  true,
);
is<Promise<number>>()(
  guards.shadow(
    "f",
    {},
    () => String("1"),
    async () => Number("2"),
  ),
  true,
);
is<Promise<string>>()(
  guards.shadow(
    "f",
    {},
    () => 1,
    () => thenable,
  ),
  true,
);
guards.shadow(
  "f",
  {},
  async () => String("1"),
  async () => Number("2"),
  {
    equal: (legacy: number, candidate: string) => String(legacy) === candidate,
    mismatch: ({ flag, legacy, new: candidate }) => [flag, legacy.toFixed(), candidate.length],
    waitUntil: (done) => void done.then(() => undefined),
  },
);
guards.shadow(
  "f",
  {},
  () => String("1"),
  () => Number("2"),
  // @ts-expect-error Not what the paths give.
  { equal: (legacy: Date) => legacy.getTime() === 0 },
);
guards.shadow(
  "f",
  {},
  () => 1,
  () => 2,
  // @ts-expect-error What is compared says yes or no, at once.
  { equal: async () => true },
);
