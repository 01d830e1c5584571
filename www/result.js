// What two engines must agree on.

/** The parts of a result that count, in the order they are shown. */
const PARTS = ["value", "variant", "reason", "rule", "errorCode"];

/** Details of the package, and what the command prints of them, in one form; what is absent is null. */
export function resultOf({ flagMetadata, ...rest }) {
  const all = { ...rest, ...flagMetadata };
  return Object.fromEntries([...PARTS, "version"].map((part) => [part, all[part] ?? null]));
}

/** One text for equal JSON, whatever the order of its keys. */
const canonical = (value) =>
  JSON.stringify(value, (_, part) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );

/** The parts in which two results differ: none, if the engines agree. */
export const differences = (one, other) =>
  [...PARTS, "version"].filter((part) => canonical(one[part]) !== canonical(other[part]));
