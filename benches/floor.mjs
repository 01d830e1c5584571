// What nobody can go below: what the platform takes by itself.
import { asking, time } from "./measure.mjs";
import { definitions } from "./peers/flagstone.mjs";
import { flags } from "./workload.mjs";

/** (module (func (export "empty"))) */
const MODULE = [0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 9, 1, 5, 101, 109, 112, 116, 121, 0, 0, 10, 4, 1, 2, 0, 11]; // prettier-ignore

/**
 * Nanoseconds of an empty call into WebAssembly; milliseconds of parsing a snapshot of 1,000 flags with `JSON.parse`, and of
 * checking its signature.
 */
export async function measure(milliseconds) {
  const { empty } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(MODULE))).exports;
  const calls = Array.from({ length: 50 });
  const { payload, verify } = await definitions(flags(1000));
  return {
    "empty call": await time(
      calls.length,
      milliseconds,
      asking(calls, () => empty()),
    ),
    "JSON.parse": (await time(1, milliseconds, () => JSON.parse(payload))) / 1e6,
    signature: (await time(1, milliseconds, verify)) / 1e6,
  };
}
