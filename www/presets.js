// Whom to evaluate for, and what to begin with.

/** Those whom the demonstration's plans name, and others who are told apart from them. */
export const USERS = [
  ["user-42", { targetingKey: "user-42", plan: "pro" }],
  ["user-114", { targetingKey: "user-114" }],
  ["user1", { targetingKey: "user1" }],
  ["legacy-user-1", { targetingKey: "legacy-user-1" }],
  ["internal-user-1", { targetingKey: "internal-user-1", internal: true }],
  ["22, a number", { targetingKey: 22 }],
  ["ngày", { targetingKey: "ngày", betaOptIn: true }],
  ["no key", {}],
];

export const SMALL_EXAMPLE = `# One flag: for everyone at the company, and for 10 % of all others.
flags:
  new_checkout:
    description: The checkout in one page
    client: true
    salt: new_checkout-1
    rules:
      - id: staff
        when: {attribute: email, endsWith: "@example.com"}
        serve: on
    default: {ramp: {percent: 10, serve: on}}
`;
