import { FlagstoneClient } from "PACKAGE";
import { work } from "./harness.mjs";

export default {
  // All the work is done in one request: a Worker acts only while it answers one.
  async fetch(request) {
    const { searchParams } = new URL(request.url);
    await work(searchParams.get("work"), searchParams.get("version"), FlagstoneClient);
    return new Response("done\n");
  },
};
