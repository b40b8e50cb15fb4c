// Where payloads wait for the canvases: the one place that two components share.

import { PayloadError, unpack } from "./payload.js";

const SHELF = (globalThis.llmrankShelf ??= new Map());
const ARRIVED = "llmrank-arrived";

// What is taken stays: the shelf holds a few, and lets go what was not asked for longest.
export function take(name) {
  const found = name ? SHELF.get(name) : undefined;
  if (found) {
    SHELF.delete(name);
    SHELF.set(name, found);
  }
  return found;
}

export function onArrival(listener) {
  globalThis.addEventListener(ARRIVED, listener);
  return () => globalThis.removeEventListener(ARRIVED, listener);
}

// The payload component: it draws nothing.
export default function ({ data, parentElement }) {
  const known = (parentElement.llmrankData ??= { data: null });
  if (known.data !== data && data !== null && data !== undefined) {
    known.data = data;
    shelve(data);
  }
  return () => SHELF.delete("fault"); // it was of the page that is left
}

function shelve(data) {
  let name;
  try {
    const payload = unpack(data);
    name = payload.name;
    SHELF.set(name, payload);
    while (SHELF.size > 12) SHELF.delete(SHELF.keys().next().value);
  } catch (error) {
    if (!(error instanceof PayloadError)) throw error;
    SHELF.set("fault", error.message); // shown while the numbers are not there
  }
  globalThis.dispatchEvent(new CustomEvent(ARRIVED, { detail: name }));
}
