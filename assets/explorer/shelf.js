// Where payloads wait for the canvas: the one place that two components share.

import { PayloadError, unpack } from "./payload.js";

const SHELF = (globalThis.llmrankShelf ??= new Map());
const ARRIVED = "llmrank-arrived";

export function take(name) {
  return name ? SHELF.get(name) : undefined;
}

export function onArrival(listener) {
  globalThis.addEventListener(ARRIVED, listener);
  return () => globalThis.removeEventListener(ARRIVED, listener);
}

// The payload component: it draws nothing.
export default function ({ data, parentElement }) {
  const known = (parentElement.llmrankData ??= { data: null });
  if (known.data === data || data === null || data === undefined) return;
  known.data = data;
  try {
    const payload = unpack(data);
    SHELF.set(payload.name, payload);
    while (SHELF.size > 12) SHELF.delete(SHELF.keys().next().value);
  } catch (error) {
    if (!(error instanceof PayloadError)) throw error;
    SHELF.set("fault", error.message); // shown while the planes are not there
  }
  globalThis.dispatchEvent(new Event(ARRIVED));
}
