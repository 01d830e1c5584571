// What is said of rollouts: for each thing that the server names, a word or a sentence.

export const PHASES = {
  none: "not started",
  running: "running",
  held: "held",
  rollingBack: "rolling back",
  rolledBack: "rolled back",
  completed: "completed",
};

/** What happened. */
export const HAPPENED = {
  started: "Started",
  advanced: "Went on",
  completed: "Completed",
  approved: "Approved",
  attested: "Somebody’s word",
  held: "Held",
  resumed: "Resumed",
  steppedDown: "Went back a step",
  rollingBack: "Began to go down",
  lowered: "One stair down",
  rolledBack: "Rolled back",
  cohortRolledBack: "Took out a cohort",
  retried: "Began again",
  signalled: "Signal raised",
  cleared: "Signal cleared",
  verified: "Recovery verified",
  escalated: "Escalated",
};

/** Whether traffic and health followed a rollback. */
export const RECOVERIES = {
  unchecked: "The plan does not say what to look at after a rollback.",
  awaited: "Whether traffic and health follow is watched.",
  verified: "Traffic and health followed.",
  escalated: "Traffic or health did not follow in time: somebody must come.",
};

/** What is to be done, where it is not to wait. */
export const VERDICTS = {
  advance: "All that this step asks for is so: the controller takes it on",
  complete: "All that the last step asks for is so: the controller completes it",
  hold: "A trigger is open: the controller holds it",
  stepDown: "A trigger is open: the controller takes it back a step",
  rollBack: "A trigger is open: the controller rolls it back",
  lower: "The next stair is due",
  verify: "Traffic and health followed",
  escalate: "Traffic or health did not follow in time",
};

/** What is in the way. */
export const BLOCKERS = {
  held: "held",
  killed: "killed",
  changed: "changed by hand",
  plan: "the plan",
  soak: "soak",
  start: "start",
  gate: "gate",
  trigger: "trigger",
  noData: "no data",
  approval: "approval",
  attestation: "attestation",
  ceiling: "ceiling",
  window: "window",
  freeze: "freeze",
  recovery: "recovery",
};
