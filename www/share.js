// A link that holds what is on the page. It stands behind the #, which browsers keep to themselves.

/** What a link may unfold to, in bytes. */
const LIMIT = 2 ** 21;

const FORMAT = "deflate-raw";

async function bytesOf(stream) {
  const parts = [];
  let length = 0;
  // Not `for await`, which not every browser has for streams.
  const reader = stream.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    length += next.value.length;
    if (length > LIMIT) throw new Error("it holds too much");
    parts.push(next.value);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** `{files, flag, context}` as the text behind the #. */
export async function pack({ files, flag, context }) {
  const json = JSON.stringify({ files: files.map(({ name, text }) => ({ name, text })), flag, context });
  const bytes = await bytesOf(new Blob([json]).stream().pipeThrough(new CompressionStream(FORMAT)));
  let binary = "";
  for (let at = 0; at < bytes.length; at += 0x8000) binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return `#v1=${btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}`;
}

/** What {@link pack} was given; undefined where the hash is no such link; throws where it is a damaged one. */
export async function unpack(hash) {
  if (!hash.startsWith("#v1=")) return undefined;
  const binary = atob(hash.slice(4).replaceAll("-", "+").replaceAll("_", "/"));
  const packed = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  const bytes = await bytesOf(new Blob([packed]).stream().pipeThrough(new DecompressionStream(FORMAT)));
  const state = JSON.parse(new TextDecoder().decode(bytes));
  const areFiles = Array.isArray(state?.files) && state.files.length > 0;
  const isFile = ({ name, text }) => typeof name === "string" && typeof text === "string";
  if (!areFiles || !state.files.every(isFile)) throw new Error("it holds no definitions");
  return { files: state.files, flag: String(state.flag ?? ""), context: String(state.context ?? "{}") };
}
