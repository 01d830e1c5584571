/** The module out of JavaScript, a chunk of its own wherever the bundler splits code. */
export async function inlined(): Promise<Response> {
  const { default: text } = await import("./flagstone_inlined.js");
  const gzipped = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const module = new Blob([gzipped]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(module, { headers: { "content-type": "application/wasm" } });
}
