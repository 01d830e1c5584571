// What the types say of a client whose flags are known, and of one whose flags are not; compiled, never run.
import { FlagstoneClient } from "flagstone";
import { Guards } from "flagstone/guard";
import { testClient } from "flagstone/testing";

/** As `flagstone types --language typescript` writes them. */
interface Flags {
  use_new_gateway: boolean;
  theme: "dark" | "light";
  limit: 1 | 2;
  layout: { columns: number };
}

class User {
  constructor(
    readonly targetingKey: string,
    readonly plan: string,
  ) {}
}

export async function typed(): Promise<void> {
  const flags = await FlagstoneClient.start<Flags>({ environment: "production", keys: { keys: [] } });
  const user = new User("user-42", "pro");
  const theme: "dark" | "light" = flags.string("theme", "light", user);
  flags.boolean("use_new_gateway", false, user);
  flags.number("limit", 7, { targetingKey: 42, plan: "pro" });
  flags.subject(user).details("layout", { columns: 1 });
  const guards = new Guards(flags);
  guards.guard(
    "use_new_gateway",
    user,
    () => theme,
    () => "light",
  );
  // @ts-expect-error no such flag
  flags.boolean("use_new_gatewya", false);
  // @ts-expect-error a flag of another type
  flags.boolean("theme", false);
  // @ts-expect-error no such variant
  flags.string("theme", "blue");
  // @ts-expect-error no such flag
  flags.subject(user).details("layuot", {});
  const one = (): number => 1;
  // @ts-expect-error a flag of another type
  guards.guard("theme", user, one, one);
  // @ts-expect-error no context
  flags.boolean("use_new_gateway", false, "user-42");
  // @ts-expect-error no key
  flags.boolean("use_new_gateway", false, { targetingKey: true });
  const test = await testClient<Flags>({ theme: "dark" });
  // @ts-expect-error no such variant
  await test.set({ theme: "blue" });
}

export async function untyped(): Promise<void> {
  const flags = await FlagstoneClient.start({ environment: "production", keys: { keys: [] } });
  const theme: string = flags.string("anything", "at all", { targetingKey: "user-42", nested: { plan: "pro" } });
  const { columns } = flags.json("layout", { columns: 1 });
  flags.details("another", columns).value.toFixed();
  const test = await testClient({ theme, layout: { columns } });
  await test.set({ theme: undefined, added: [1] });
}
