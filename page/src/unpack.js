// What the page carries: base64 of gzip in elements of its own, so that nothing is fetched.

const block = id => document.getElementById(id).textContent.trim();

export async function unpacked(id) {
  const packed = Uint8Array.from(atob(block(id)), sign => sign.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

export const unpackedText = async id => new TextDecoder().decode(await unpacked(id));
