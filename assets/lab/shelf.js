// Where the lab's numbers wait for its canvases: what llmrank/report/mlp_payload.py packs.

const SHELF = (globalThis.llmrankLab ??= new Map());
const ARRIVED = "llmrank-lab-arrived";
const KINDS = { u1: Uint8Array, i1: Int8Array, i4: Int32Array, f4: Float32Array };

export class LabError extends Error {}

// "LLAB", header length, JSON header, sections; each padded to four bytes.
export function unpackLab(data) {
  const bytes = data instanceof Uint8Array ? data.slice() : new Uint8Array(data).slice();
  if (bytes.length < 8 || String.fromCharCode(...bytes.subarray(0, 4)) !== "LLAB") {
    throw new LabError("The numbers arrived damaged.");
  }
  const headerBytes = new DataView(bytes.buffer).getUint32(4, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerBytes)));
  let at = 8 + headerBytes;
  for (const { name, kind, shape } of header.sections) {
    const count = shape.reduce((a, b) => a * b, 1);
    const values = new KINDS[kind](bytes.buffer, at, count);
    header[name] = values;
    at += Math.ceil(values.byteLength / 4) * 4;
  }
  if (at !== bytes.length) throw new LabError("The numbers arrived incomplete.");
  return header;
}

export function takeLab(name) {
  return name ? SHELF.get(name) : undefined;
}

export function onLabArrival(listener) {
  globalThis.addEventListener(ARRIVED, listener);
  return () => globalThis.removeEventListener(ARRIVED, listener);
}

// The carrier: it draws nothing.
export default function ({ data, parentElement }) {
  const known = (parentElement.llmrankData ??= { data: null });
  if (known.data === data || data === null || data === undefined) return;
  known.data = data;
  const found = unpackLab(data);
  SHELF.set(found.name, found);
  while (SHELF.size > 8) SHELF.delete(SHELF.keys().next().value);
  globalThis.dispatchEvent(new Event(ARRIVED));
}
