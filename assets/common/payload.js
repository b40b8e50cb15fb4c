// Reads what llmrank/report/payload.py packs: "LLMR", header length, JSON header, sections.

const KINDS = { u1: Uint8Array, i1: Int8Array, i4: Int32Array, f4: Float32Array };

export class PayloadError extends Error {}

// Returns what the header says, and each section's values under the section's name.
export function unpack(data) {
  // A copy, because Streamlit hands bytes over unaligned.
  const bytes = data instanceof Uint8Array ? data.slice() : new Uint8Array(data).slice();
  if (bytes.length < 8 || String.fromCharCode(...bytes.subarray(0, 4)) !== "LLMR") {
    throw new PayloadError("The numbers arrived damaged.");
  }
  let end = 8 + new DataView(bytes.buffer).getUint32(4, true);
  const { sections, ...payload } = parsed(bytes.subarray(8, end));
  const placed = sections.map(({ name, kind, shape }) => {
    const [at, n] = [end, shape.reduce((a, b) => a * b, 1)];
    end += 4 * Math.ceil((n * KINDS[kind].BYTES_PER_ELEMENT) / 4); // padded
    return { name, kind, at, n };
  });
  if (bytes.length !== end) {
    throw new PayloadError(`The numbers arrived incomplete: ${bytes.length} of ${end} bytes.`);
  }
  for (const { name, kind, at, n } of placed) payload[name] = new KINDS[kind](bytes.buffer, at, n);
  if (payload.planes) payload.planes = planesOf(payload);
  return payload;
}

function parsed(bytes) {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new PayloadError("The numbers arrived damaged.");
  }
}

// One array for each plane, all layers one after another; every number is one.
function planesOf({ planes, names, widths }) {
  const n = planes.length / names.length;
  const every = names.map((_, k) => planes.subarray(k * n, (k + 1) * n));
  let start = 0;
  widths.forEach((width, layer) => {
    for (const plane of every) {
      for (let i = start; i < start + width; i++) {
        if (!Number.isFinite(plane[i])) {
          throw new PayloadError(`The scores of layer ${layer} are not numbers (NaN).`);
        }
      }
    }
    start += width;
  });
  return every;
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
