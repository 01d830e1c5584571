// What `flagstone` exports wherever it runs. `flagstone/slim` exports the client alone (`build.mjs`): the rest has entry points of its
// own.
export * from "./anonymous.js";
export * from "./client.js";
export * from "./storage.js";
