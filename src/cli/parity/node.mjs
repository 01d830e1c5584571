import { pathToFileURL } from "node:url";
import { work } from "./harness.mjs";

const [url, entry] = process.argv.slice(2);
const { FlagstoneClient } = await import(pathToFileURL(entry).href);
await work(url, process.version, FlagstoneClient);
