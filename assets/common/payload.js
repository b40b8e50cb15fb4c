// Reads what the server packs: "LLMR", header length, JSON header, float32 values.

export class PayloadError extends Error {}

export function unpack(data) {
  // A copy, because Streamlit hands bytes over unaligned.
  const bytes = data instanceof Uint8Array ? data.slice() : new Uint8Array(data).slice();
  if (bytes.length < 8 || String.fromCharCode(...bytes.subarray(0, 4)) !== "LLMR") {
    throw new PayloadError("The scores arrived damaged.");
  }
  const headerBytes = new DataView(bytes.buffer).getUint32(4, true);
  let header;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerBytes)));
  } catch {
    throw new PayloadError("The scores arrived damaged.");
  }
  const n = header.widths.reduce((a, b) => a + b, 0);
  const from = 8 + headerBytes;
  const wanted = from + 4 * n * header.planes.length;
  if (bytes.length !== wanted) {
    throw new PayloadError(
      `The scores arrived incomplete: ${bytes.length} of ${wanted} bytes.`,
    );
  }
  const planes = header.planes.map(
    (_, k) => new Float32Array(bytes.buffer, from + 4 * n * k, n),
  );
  check(header, planes);
  return { ...header, planes, names: header.planes, n };
}

function check(header, planes) {
  let start = 0;
  header.widths.forEach((width, layer) => {
    for (const plane of planes) {
      for (let i = start; i < start + width; i++) {
        if (!Number.isFinite(plane[i])) {
          throw new PayloadError(`The scores of layer ${layer} are not numbers (NaN).`);
        }
      }
    }
    start += width;
  });
}

// Of a set of bytes, the same as Python's zlib.crc32: two sides compare their cuts.
export function crc32(bytes) {
  let crc = -1;
  for (let i = 0; i < bytes.length; i++) crc = TABLE[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return (crc ^ -1) >>> 0;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});
