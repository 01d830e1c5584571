// What people must say of a rollout: approvals and attestations, of the step that it is at and of those to come.
import { element, quiet, unseen } from "../dom.js";
import { approve, attest } from "./steering.js";
import { since } from "./words.js";

/** Those whose word it is. */
const people = ({ roles }, role) =>
  role === undefined ? "anyone who may change flags" : (roles?.[role] ?? []).join(", ") || "nobody";

/** What a step asks for, with what was given of it: `given`, `missing`, or asked for `later`. */
function standing(requirement, index, { steps, at, progress, blockers }) {
  const isApproval = requirement.approval !== undefined;
  const role = requirement.approval ?? requirement.role;
  const what = isApproval ? `approval of ${requirement.approval}` : requirement.attestation;
  const given = (progress?.attested ?? []).findLast(
    (one) => one.what === what && (!isApproval || one.step === steps[index].name) && (one.role ?? role) === role,
  );
  const isHere = index === at;
  const isMissing = blockers.some(
    ({ kind, message }) => ["approval", "attestation"].includes(kind) && message.startsWith(`${what}, given by`),
  );
  const look = given && !(isHere && isMissing) ? "given" : isHere ? "missing" : "later";
  return { isApproval, role, what, given, isHere, look };
}

function requirementItem(app, status, name, { isApproval, role, what, given, isHere, look }) {
  const { plan, progress } = status;
  const text = element("div", {}, element("strong", { text: what }));
  if (given) {
    const by = element("p", { className: "quiet" }, `${given.by.author}: ${given.by.reason} · `, since(given.by.at));
    if (look !== "given") by.prepend("no longer valid; ");
    text.append(by);
  }
  if (look !== "given")
    text.append(quiet(`${isHere ? "to go on from here" : `to go on from ${name}`}; given by ${people(plan, role)}`));
  const item = element(
    "li",
    { className: `word ${look}` },
    element("span", { className: `finding ${look}`, text: look }),
    text,
  );
  const me = app.me();
  const isAsked = ["running", "held"].includes(progress?.phase) && (isHere || !isApproval) && look !== "given";
  if (isAsked && me.role !== "reader" && (role === undefined || plan.roles?.[role]?.includes(me.name))) {
    const button = element("button", { type: "button", text: isApproval ? "Approve …" : "Attest …" });
    button.append(unseen(what));
    button.addEventListener("click", () => (isApproval ? approve(app, status, role) : attest(app, status, what)));
    item.append(button);
  }
  return item;
}

/** Draws them. */
export function requirements(app, status) {
  const { steps, at } = status;
  const here = at ?? 0;
  const [now, later] = [[], []];
  for (const [index, { name, requires = [] }] of steps.entries())
    for (const requirement of requires) {
      const stands = standing(requirement, index, status);
      // What a step asked for that it is past.
      if (stands.look === "later" && index < here) continue;
      (index > here ? later : now).push(requirementItem(app, status, name, stands));
    }
  if (now.length + later.length === 0) return [quiet("Nothing: it goes by what is measured and by the clock.")];
  const said = element("ul", { className: "said" }, ...now);
  if (later.length === 0) return [said];
  const text = `${now.length > 0 ? `${later.length} more` : later.length} in later steps`;
  const list = element("ul", { className: "said" }, ...later);
  return [said, element("details", { className: "later-words" }, element("summary", { text }), list)];
}
