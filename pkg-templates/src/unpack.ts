// The modules out of JavaScript, each a chunk of its own wherever the bundler splits code.

export async function inlined(): Promise<Response> {
  return unpacked((await import("./flagstone_inlined.js")).default);
}

/** What completes snapshots. */
export async function inlinedTools(): Promise<Response> {
  return unpacked((await import("./flagstone_tools_inlined.js")).default);
}

function unpacked(text: string): Response {
  const gzipped = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const module = new Blob([gzipped]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(module, { headers: { "content-type": "application/wasm" } });
}
