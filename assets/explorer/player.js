// Sweeps one setting up and down while you watch; told to the server when it pauses.

const SWEEP_S = 8; // from one end to the other

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
    this.button.textContent = "❚❚";
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
    this.button.textContent = "▶";
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
