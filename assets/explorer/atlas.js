// The θ × γ map: its overlap with the pin, computed between frames, a few milliseconds at a time.

import { Engine } from "./engine.js";

export class Atlas {
  constructor(onChange) {
    this.onChange = onChange;
    this.size = 21;
    this.grid = new Float32Array(0);
  }

  start(payload, settings, pin, table) {
    const about = JSON.stringify([
      settings.sparsity, settings.allocation, settings.multipleOf, pin.settings, payload.name, table,
    ]);
    if (about === this.about) return;
    this.about = about;
    this.stop();
    if (this.payload !== payload) {
      this.payload = payload;
      this.engine = new Engine(payload.widths, payload.planes, payload.exponents);
    }
    this.size = this.engine.n > 100_000 ? 11 : 21;
    this.grid = new Float32Array(this.size ** 2).fill(NaN);
    this.engine.table = table;
    this.pinned = pin.dropped;
    this.settings = { ...settings };
    this.next = 0;
    this.total = pin.dropped.reduce((n, x) => n + x, 0);
    this.timer = setTimeout(() => this.work(), 60);
  }

  stop() {
    clearTimeout(this.timer);
  }

  work() {
    const until = performance.now() + 6;
    do {
      this.compute(this.next++);
    } while (this.next < this.grid.length && performance.now() < until);
    if (this.next < this.grid.length) this.timer = setTimeout(() => this.work(), 12);
    if (this.next % this.size === 0 || this.next >= this.grid.length) this.onChange();
  }

  // Spread over the whole map at once: places in a scattered order.
  compute(k) {
    const place = (k * 89) % this.grid.length;
    const step = this.size - 1;
    const theta = (place % this.size) / step;
    const gamma = Math.floor(place / this.size) / step;
    this.engine.update({ ...this.settings, theta, gamma });
    const { engine, pinned } = this;
    let both = 0;
    for (let l = 0; l < engine.widths.length; l++) both += engine.countDropped(l, pinned);
    this.grid[place] = this.total > 0 ? both / this.total : 1;
  }
}
