// What the lab's canvases share: a slider for the sparsity, numbers that arrive later than
// the page, one drawing a frame, a commit on release.

import { onArrival, take } from "../common/shelf.js";
import { lookOf } from "../common/theme.js";

export class Panel {
  // `numbers` is the name under which the data says where the panel's own numbers are.
  constructor(root, numbers) {
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    this.wanted = numbers;
    this.serial = 0;
    this.frames = []; // how long the last frames took, in ms
    for (const input of this.sliders) {
      input.addEventListener("input", () => this.move(Number(input.value)));
      input.addEventListener("change", () => this.commit());
    }
    this.observer = new ResizeObserver(() => this.request());
    this.observer.observe(this.find(".lab"));
    this.stopListening = onArrival(() => this.arrived());
  }

  get sliders() {
    return [this.find(".sparsity"), this.find(".typed")];
  }

  // What the server says is old where the visitor has moved on since.
  receive({ data, setStateValue }) {
    this.data = data;
    this.send = setStateValue;
    if (this.percent === undefined || data.serial >= this.serial) {
      this.percent = data.percent;
      this.serial = data.serial;
      this.follow(data);
    }
    this.arrived();
  }

  follow() {}

  arrived() {
    const images = take(this.data?.images);
    const numbers = take(this.data?.[this.wanted]);
    const ready = Boolean(images && numbers);
    this.find(".lab").classList.toggle("waiting", !ready);
    const message = this.find(".message");
    message.hidden = ready;
    if (!ready) message.textContent = take("fault") ?? message.textContent;
    if (!ready) return;
    if (this.numbers !== numbers || this.images !== images) {
      [this.images, this.numbers] = [images, numbers];
      this.begin();
    }
    this.request();
  }

  move(percent) {
    if (!Number.isFinite(percent)) return;
    this.percent = Math.max(0, Math.min(99, Math.round(percent)));
    this.request();
  }

  commit() {
    this.serial += 1;
    this.send("commit", { serial: this.serial, percent: this.percent, ...this.selection() });
  }

  request() {
    if (this.requested || !this.numbers) return;
    this.requested = true;
    requestAnimationFrame(() => {
      this.requested = false;
      if (this.root.isConnected) this.frame();
    });
  }

  frame() {
    const start = performance.now();
    this.look = lookOf(this.find(".lab"));
    for (const input of this.sliders) {
      if (Number(input.value) !== this.percent || input.value === "") input.value = this.percent;
    }
    this.draw();
    this.frames.push(performance.now() - start);
    if (this.frames.length > 600) this.frames.shift();
  }

  leave() {
    this.observer.disconnect();
    this.stopListening();
  }
}

// Make a component of a panel: one a place on the page, known to tests by a global name.
export function mounted(Kind, name) {
  const panels = new WeakMap();
  return (component) => {
    const root = component.parentElement;
    if (!panels.has(root)) {
      panels.set(root, new Kind(root));
      globalThis[name] = panels.get(root);
    }
    panels.get(root).receive(component);
    return () => {
      panels.get(root)?.leave();
      panels.delete(root);
    };
  };
}
