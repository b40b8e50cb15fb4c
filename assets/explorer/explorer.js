// The canvas of all neurons: settings move, every neuron answers, the server hears of it
// on release. Planes come from the shelf; nothing is sent while dragging.

import * as card from "./card.js";
import * as charts from "./charts.js";
import { pixel } from "./colours.js";
import { Controls } from "./controls.js";
import { Engine } from "./engine.js";
import { Pointer } from "./pointer.js";
import { crc32 } from "./payload.js";
import { Atlas, overlaps, Player } from "./extras.js";
import { onArrival, take } from "./shelf.js";
import { GUTTER, scaleOf, Strips } from "./strips.js";

const SETTINGS = ["theta", "gamma", "sparsity", "graph", "scope", "multipleOf"];

class Explorer {
  constructor(root) {
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    this.serial = 0;
    this.hovered = null;
    this.frames = []; // how long the last frames took, in ms: for benchmarks
    this.strips = new Strips(this.find(".strips"));
    this.controls = new Controls(this.find(".explorer"), (...change) => this.change(...change));
    this.pointer = new Pointer(this);
    this.player = new Player(this);
    this.atlas = new Atlas(() => this.drawMap());
    this.find(".pin").addEventListener("click", () => this.pinHere());
    this.find(".whole").addEventListener("click", () => this.zoom(null));
    this.find(".map").addEventListener("click", (event) => this.goTo(event));
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.find(".stage"));
    this.stopListening = onArrival(() => this.arrived());
  }

  // New data from the server. What it says of settings older than ours is ignored.
  receive({ data, setStateValue }) {
    const first = this.data === undefined;
    this.data = data;
    this.send = setStateValue;
    this.controls.defaults = data.defaults;
    if (first) {
      this.settings = { ...data.settings };
      this.view = { ...data.view };
      this.chosen = data.chosen;
      this.serial = data.serial;
    } else if (data.serial >= this.serial && !this.pending) {
      this.settings = { ...data.settings };
      this.chosen = data.chosen;
    }
    this.arrived();
  }

  arrived() {
    const payload = take(this.data?.planes);
    this.say(payload ? null : (take("fault") ?? "Reading the scores …"));
    if (!payload) return;
    if (this.payload !== payload) {
      this.payload = payload;
      this.engine = new Engine(payload.widths, payload.planes, payload.exponents);
    }
    this.view.to = Math.min(this.view.to || this.engine.widest, this.engine.widest);
    if (this.view.layer >= this.engine.widths.length) this.view.layer = null;
    if (this.view.from >= this.view.to) this.view.from = 0;
    if (!this.pin || this.pin.engine !== this.engine) this.setPin(this.data.pin);
    this.settle();
  }

  get hasTheta() {
    return Boolean(this.payload?.exponents);
  }

  // One change of a setting or of the view, by whatever means.
  change(name, value, released) {
    if (SETTINGS.includes(name)) this.settings[name] = value;
    else this.view[name] = value;
    if (!released && !this.pending) this.find(".key").lastElementChild?.replaceChildren();
    this.pending = !released;
    if (released) this.commit();
    this.request();
  }

  request() {
    if (this.requested) return;
    this.requested = true;
    requestAnimationFrame(() => {
      this.requested = false;
      this.frame();
    });
  }

  frame() {
    if (!this.engine || !this.strips.canvas.isConnected) return;
    const start = performance.now();
    this.look = null;
    this.engine.update(this.settings);
    this.scale ??= scaleOf(this.engine);
    this.strips.draw(this.engine, this.view, this.scale, this.pin, this.theme().background);
    this.controls.show(this.settings, this.view, { hasTheta: this.hasTheta });
    this.pointer.draw();
    this.describe();
    this.frames.push(performance.now() - start);
    if (this.frames.length > 600) this.frames.shift();
  }

  // What moves with the canvas: the sentence, the neuron, the churn, the charts.
  describe() {
    const { engine, pin } = this;
    const shown = this.layers();
    const every = [...engine.widths.keys()];
    this.find(".reading").textContent = this.reading(card.churn(engine, pin, every));
    this.showCard();
    card.showChurn(this.find(".churn"), card.churn(engine, pin, shown), shown);
    const theme = this.theme();
    charts.distribution(this.find(".distribution"), engine, shown, theme);
    this.caption(".distribution", this.distributionReading(shown));
    this.drawOverlap(theme);
    this.drawMap();
    this.find(".whole").hidden =
      this.view.layer === null && this.view.from === 0 && this.view.to === engine.widest;
  }

  showCard() {
    const at = this.hovered ?? this.chosen;
    card.showNeuron(this.find(".card"), this.engine, this.settings, this.pin, at);
  }

  reading({ lost, saved }) {
    const { engine, settings } = this;
    const gone = engine.nDropped();
    const rho = (settings.gamma * settings.theta) / (1 - settings.gamma);
    const point = this.hasTheta
      ? `At θ ${settings.theta.toFixed(2)} and γ ${settings.gamma.toFixed(2)} (ρ = γθ/(1 − γ) = ${
          Number.isFinite(rho) ? card.three(rho) : "∞"
        }), `
      : "";
    const cut = `${card.count(gone)} of ${card.count(engine.n)} neurons are cut (${card.percent(
      gone / engine.n,
    )})`;
    const widths = [...engine.kept];
    const [least, most] = [Math.min(...widths), Math.max(...widths)].map(card.count);
    const kept = least === most ? `every layer keeps ${most}` : `layers keep ${least} to ${most}`;
    const moved =
      lost + saved === 0
        ? "the same as at the pin."
        : `${card.count(lost + saved)} change sides against the pin.`;
    const said = `${point}${cut}; ${kept}; ${moved}`;
    return said.charAt(0).toUpperCase() + said.slice(1);
  }

  distributionReading(shown) {
    const { engine } = this;
    let [effective, pq] = [0, 0];
    for (const l of shown) {
      const spread = engine.spread(l);
      effective += spread.effective / engine.widths[l] / shown.length;
      pq += spread.pq / shown.length;
    }
    const of = shown.length === 1 ? `layer ${shown[0]}` : "all layers";
    return (
      `Scores of ${of}, in times their layer's mean; left of the band is cut. ` +
      `Effective number of neurons 1/Σs²: ${card.percent(effective)} of all; PQ index ` +
      `${card.three(pq)}. A hint, not measured: cut ` +
      `up to ${card.percent(1 - effective)}.`
    );
  }

  drawOverlap(theme) {
    const compared = take(this.data.compared);
    const canvas = this.find(".overlap");
    canvas.parentElement.hidden = !compared;
    if (!compared) return;
    const costly = this.engine.n * compared.names.length > 400_000;
    if (!costly || this.resting) {
      this.shares = overlaps(this.engine, compared, this.settings, this.layers());
    }
    if (!this.shares) return;
    charts.overlap(canvas, this.shares, theme);
    this.caption(".overlap", `Of what is cut ${this.view.layer === null ? "here" : `in layer ${this.view.layer}`}, the share that other criteria would cut too.`);
  }

  drawMap() {
    const canvas = this.find(".map");
    canvas.parentElement.hidden = !this.hasTheta;
    if (!this.hasTheta || !this.engine) return;
    const { grid, size } = this.atlas;
    charts.map(canvas, grid, size, this.settings, this.pin.settings, this.theme());
    const left = grid.reduce((n, x) => n + Number.isNaN(x), 0);
    const how = left ? `computing, ${left} points left` : "yellow: all of it, purple: none";
    this.caption(".map", `How much of the pin's cut each θ, γ still cuts (${how}). Click to go there.`);
  }

  caption(of, text) {
    this.find(of).previousElementSibling.textContent = text;
    this.find(of).setAttribute("aria-label", text);
  }

  // At rest: colours rescaled, the dear things computed, the exact scores shown.
  settle() {
    this.scale = null;
    this.resting = true;
    this.showKey();
    this.frame();
    this.showKey();
    this.resting = false;
    if (this.hasTheta) this.atlas.start(this.payload, this.settings, this.pin);
  }

  showKey() {
    const { agreed } = this.data;
    let said = "";
    if (this.engine && this.scale && agreed?.serial === this.serial) {
      const same = crc32(this.engine.droppedSet()) === agreed.crc;
      said = same
        ? `✓ the server cuts the same ${card.count(agreed.nDropped)} neurons`
        : `the exact recursion cuts ${card.count(agreed.nDropped)}, not quite the same ones`;
    }
    const error = this.payload?.error;
    if (error > 0) said += ` (chained while dragging: off by up to ${error.toExponential(1)} of a layer's 1 at the 12 points tried)`;
    if (this.scale) card.showKey(this.find(".key"), this.view.colour, this.scale, said);
  }

  commit() {
    this.serial += 1;
    this.pending = false;
    this.send("commit", {
      serial: this.serial,
      settings: this.settings,
      view: this.view,
      pin: this.pin?.settings ?? null,
      chosen: this.chosen,
    });
    this.showKey();
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.settle(), 80);
  }

  setPin(settings) {
    const pin = { ...this.settings, ...settings };
    this.engine.update(pin);
    const { engine } = this;
    this.pin = { settings: pin, engine, dropped: engine.droppedSet(), rank: engine.rank.slice() };
  }

  pinHere() {
    this.setPin(this.settings);
    this.commit();
    this.request();
  }

  // Show one layer, or all of them.
  zoom(layer, from = 0, to = this.engine.widest) {
    Object.assign(this.view, { layer, from, to });
    this.commit();
    this.request();
  }

  choose(at) {
    this.chosen = at && { layer: at.layer, neuron: at.neuron };
    this.commit();
    this.request();
  }

  goTo(event) {
    const box = event.target.getBoundingClientRect();
    const { left, bottom } = charts.MAP_MARGIN;
    const x = (event.clientX - box.left - left) / (box.width - left);
    const y = 1 - (event.clientY - box.top) / (box.height - bottom);
    const step = this.atlas.size - 1;
    const snap = (t) => Math.max(0, Math.min(1, Math.floor(t * this.atlas.size) / step));
    this.settings.theta = snap(x);
    this.change("gamma", snap(y), true);
  }

  layers() {
    return this.view.layer === null
      ? [...Array(this.engine.widths.length).keys()]
      : [this.view.layer];
  }

  resize() {
    const { clientWidth, clientHeight } = this.find(".stage");
    const width = clientWidth - GUTTER;
    const height = clientHeight - 18;
    if (width < 10 || height < 10) return;
    const ratio = Math.min(2, globalThis.devicePixelRatio || 1);
    const canvas = this.strips.canvas;
    Object.assign(canvas.style, { left: `${GUTTER}px`, width: `${width}px`, height: `${height}px` });
    this.strips.resize(width, height, ratio);
    this.frame();
    this.request(); // once more, when all else has its size
  }

  say(text) {
    const message = this.find(".message");
    message.hidden = text === null;
    message.textContent = text ?? "";
  }

  // The colours of the page's theme, read once per frame.
  theme() {
    if (this.look) return this.look;
    const text = getComputedStyle(this.find(".explorer")).color;
    const [r, g, b] = (text.match(/[\d.]+/g) ?? [0, 0, 0]).map(Number);
    const dark = r + g + b > 380; // light text
    this.look = {
      dark,
      text,
      accent: dark ? "#56b4e9" : "#0072b2",
      neutral: dark ? "#a3a8b4" : "#6b7280",
      line: dark ? "#2f3440" : "#e4e6eb",
      background: pixel(dark ? "0d1015" : "ffffff"),
    };
    return this.look;
  }

  leave() {
    this.observer.disconnect();
    this.stopListening();
    this.player.pause();
    this.atlas.stop();
  }
}

const MOUNTED = new WeakMap();

export default function (component) {
  const root = component.parentElement;
  if (!MOUNTED.has(root)) {
    const explorer = new Explorer(root);
    MOUNTED.set(root, explorer);
    globalThis.llmrankExplorer = explorer;
  }
  MOUNTED.get(root).receive(component);
  return () => {
    MOUNTED.get(root)?.leave();
    MOUNTED.delete(root);
  };
}
