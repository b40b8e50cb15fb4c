// Beside the canvas: what other criteria would cut, the θ × γ map, the player.

import { Engine } from "./engine.js";

const COMPARED = new WeakMap(); // payload → one engine per criterion

// Of what is cut in some layers, the share that each compared criterion cuts too.
export function overlaps(engine, compared, settings, layers) {
  if (!COMPARED.has(compared)) {
    const engines = compared.planes.map((p) => new Engine(compared.widths, [p]));
    engines.forEach((e) => {
      e.score([1]);
      e.sort();
    });
    COMPARED.set(compared, engines);
  }
  const gone = layers.reduce((n, l) => n + engine.widths[l] - engine.kept[l], 0);
  const found = {};
  COMPARED.get(compared).forEach((other, k) => {
    other.table = engine.table;
    other.kept.set(other.keep(settings.sparsity, settings.allocation, settings.multipleOf));
    let both = 0;
    for (const l of layers) {
      const [rank, kept, start] = [other.rank, other.kept[l], engine.starts[l]];
      for (let r = start + engine.kept[l]; r < engine.starts[l + 1]; r++) {
        both += rank[start + engine.order[r]] >= kept;
      }
    }
    found[compared.names[k]] = gone > 0 ? both / gone : 1;
  });
  return found;
}

// The map of overlap with the pin, computed between frames, a few milliseconds at a time.
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
    this.size = payload.n > 100_000 ? 11 : 21;
    this.grid = new Float32Array(this.size ** 2).fill(NaN);
    if (this.payload !== payload) {
      this.payload = payload;
      this.engine = new Engine(payload.widths, payload.planes, payload.exponents);
    }
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

const SWEEP_S = 8; // from one end to the other

// Sweeps one setting up and down while you watch; told to the server when it pauses.
export class Player {
  constructor(explorer) {
    this.explorer = explorer;
    this.button = explorer.find(".play");
    this.button.addEventListener("click", () => (this.timer ? this.pause() : this.play()));
    explorer.find(".step").addEventListener("click", () => {
      this.pause();
      this.move(0.01);
      explorer.commit();
    });
    this.up = true;
  }

  play() {
    this.button.textContent = "Pause";
    this.button.setAttribute("aria-label", "Pause");
    let before = performance.now();
    const tick = (now) => {
      this.move((now - before) / 1000 / SWEEP_S);
      before = now;
      this.timer = requestAnimationFrame(tick);
    };
    this.timer = requestAnimationFrame(tick);
  }

  pause() {
    if (!this.timer) return;
    cancelAnimationFrame(this.timer);
    this.timer = null;
    this.button.textContent = "Play";
    this.button.setAttribute("aria-label", "Play");
    const { explorer } = this;
    const name = explorer.find(".sweep").value;
    explorer.settings[name] = Math.round(100 * explorer.settings[name]) / 100;
    explorer.commit();
    explorer.request();
  }

  move(by) {
    const { explorer } = this;
    const name = explorer.find(".sweep").value;
    const high = name === "sparsity" ? 0.95 : 1;
    const value = explorer.settings[name] + (this.up ? by : -by) * high;
    if (value >= high || value <= 0) this.up = value <= 0;
    explorer.change(name, Math.max(0, Math.min(high, value)), false);
  }
}
