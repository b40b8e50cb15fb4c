// The canvas of all neurons: settings move, every neuron answers, the server hears of it
// on release. Planes come from the shelf; nothing is sent while dragging.

import { Atlas } from "./atlas.js";
import { Beside } from "./sidepanel.js";
import { MAP_MARGIN } from "./charts.js";
import { Controls } from "./controls.js";
import { Engine } from "./engine.js";
import { glide, laid, layersOf } from "./layout.js";
import { Links } from "./links.js";
import { pixel } from "../common/colours.js";
import { lookOf } from "../common/theme.js";
import { Overlay } from "./overlay.js";
import { Player } from "./player.js";
import { Pointer } from "./pointer.js";
import { onArrival, take } from "../common/shelf.js";
import { GUTTER, scaleOf, Strips } from "./strips.js";

const still = matchMedia("(prefers-reduced-motion: reduce)");
const SETTINGS = ["theta", "gamma", "sparsity", "graph", "allocation", "multipleOf"];

class Explorer {
  constructor(root) {
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    this.serial = 0;
    this.hovered = null;
    this.frames = []; // how long the last frames took, in ms: for benchmarks
    this.strips = new Strips(this.find(".strips"));
    this.controls = new Controls(this.find(".explorer"), (...change) => this.change(...change));
    this.links = new Links(this);
    this.beside = new Beside(this);
    this.overlay = new Overlay(this);
    this.pointer = new Pointer(this);
    this.player = new Player(this);
    this.atlas = new Atlas(() => this.beside.drawMap());
    this.find(".pin").addEventListener("click", () => this.pinHere());
    this.find(".whole").addEventListener("click", () => this.zoom(null));
    this.find(".closer").addEventListener("click", () => this.zoomToRange());
    this.find(".release").addEventListener("click", () => this.choose(null));
    this.find(".map").addEventListener("click", (event) => this.goTo(event));
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.find(".stage"));
    this.stopListening = onArrival(({ detail }) =>
      detail === "held" && this.engine ? this.beside.showFacts() : this.arrived(),
    );
  }

  // New data from the server. What it says of settings older than ours is ignored.
  receive({ data, setStateValue }) {
    const first = this.data === undefined;
    const told = JSON.stringify([data, lookOf(this.find(".explorer"))]); // the theme too
    const same = told === this.told;
    this.told = told;
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
      const another = JSON.stringify(this.chosen) !== JSON.stringify(data.chosen);
      this.chosen = data.chosen;
      if (another && this.engine && this.chosen) this.reveal(this.chosen);
    }
    if (!same) this.arrived();
  }

  arrived() {
    if (!this.data) return;
    const { planes, widths, look } = this.data;
    const fresh = take(planes);
    const old = `${this.payload?.widths}` === `${widths}` ? this.payload : skeleton(widths);
    const payload = fresh ?? old;
    this.say(fresh ? null : (take("fault") ?? look ?? "Scoring …"));
    this.find(".explorer").classList.toggle("waiting", !fresh);
    if (!payload) return;
    if (this.payload !== payload) {
      this.payload = payload;
      this.engine = new Engine(payload.widths, payload.planes, payload.exponents);
      this.hovered = null;
    }
    this.engine.table = this.data.table;
    if (!(this.chosen?.neuron < this.engine.widths[this.chosen?.layer])) this.chosen = null;
    this.view.to = Math.min(this.view.to || this.engine.widest, this.engine.widest);
    if (this.view.layer >= this.engine.widths.length) this.view.layer = null;
    if (this.view.from >= this.view.to) this.view.from = 0;
    if (!(this.view.brush?.from < this.engine.widths[this.view.brush?.layer])) this.view.brush = null;
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
    if (name === "sort") this.view.brush = null; // its places would be others
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
    this.lay();
    this.strips.draw(this.engine, this.view, this.scale, this.pin, pixel(this.theme().background));
    this.controls.show(this.settings, this.view, {
      hasTheta: this.hasTheta,
      other: this.data.table?.name,
    });
    this.overlay.draw();
    this.beside.describe();
    this.frames.push(performance.now() - start);
    if (this.frames.length > 600) this.frames.shift();
  }

  // Give the rows their places; on their way there they glide.
  lay() {
    const { engine, view, strips, links } = this;
    const layers = layersOf(engine, view);
    const target = laid(layers, strips.canvas.height, strips.ratio, links.focus);
    const { rows, arrived } = still.matches ? { rows: target, arrived: true } : glide(strips.rows, target);
    strips.rows = rows;
    this.gliding = !arrived;
    if (this.gliding) this.request();
    this.find(".stage").classList.toggle("discrete", links.discrete);
  }

  get moving() {
    return Boolean(this.pending || this.gliding || this.pointer.moving);
  }

  // At rest: colours rescaled, the dear things computed, the exact scores shown.
  settle() {
    this.scale = null;
    this.resting = true;
    this.beside.showKey();
    this.frame();
    this.beside.showKey();
    this.resting = false;
    if (this.hasTheta) this.atlas.start(this.payload, this.settings, this.pin, this.data.table);
  }

  commit(ask = null) {
    this.serial += 1;
    this.pending = false;
    this.view.from = Math.round(this.view.from); // as the link holds it
    this.view.to = Math.round(this.view.to);
    this.send("commit", {
      serial: this.serial,
      settings: this.settings,
      view: this.view,
      pin: this.pin?.settings ?? null,
      chosen: this.chosen,
      ask,
    });
    this.beside.showKey();
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.settle(), 80);
  }

  setPin(settings) {
    const pin = { ...this.settings, ...settings };
    this.engine.update(pin);
    const { engine } = this;
    this.pin = {
      settings: pin,
      engine,
      dropped: engine.droppedSet(),
      nDropped: engine.widths.map((w, l) => w - engine.kept[l]),
      rank: engine.rank.slice(),
    };
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

  zoomToRange() {
    const { from, to } = this.view.brush;
    this.pointer.show(from, to);
    this.commit();
  }

  // Hold a neuron; the one that is held already, or none, is let go.
  choose(at) {
    const same = at?.layer === this.chosen?.layer && at?.neuron === this.chosen?.neuron;
    this.chosen = at && !same ? { layer: at.layer, neuron: at.neuron } : null;
    this.commit();
    this.request();
  }

  // Select places { layer, from, to } of one layer; null selects none.
  brush(range) {
    this.view.brush = range;
    this.commit();
    this.request();
  }

  // Undo one thing at a time: the neuron held, the range, the zoom.
  letGo() {
    if (this.chosen) this.choose(null);
    else if (this.view.brush) this.brush(null);
    else this.zoom(null);
  }

  // Move the view so far that a neuron is in it.
  reveal({ layer, neuron }) {
    const { engine, view, pointer } = this;
    if (layer >= engine.widths.length || neuron >= engine.widths[layer]) return;
    if (!layersOf(engine, view).includes(layer)) view.layer = layer;
    const place = view.sort === "rank" ? engine.rank[engine.starts[layer] + neuron] : neuron;
    const span = view.to - view.from;
    if (place < view.from) pointer.show(place, place + span);
    else if (place >= view.to) pointer.show(place + 1 - span, place + 1);
    this.request();
  }

  goTo(event) {
    const box = event.target.getBoundingClientRect();
    const { left, bottom } = MAP_MARGIN;
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
    this.look = lookOf(this.find(".explorer"));
    return this.look;
  }

  leave() {
    this.observer.disconnect();
    this.stopListening();
    this.player.pause();
    this.atlas.stop();
  }
}

// Before any score is known all neurons are equal: their number and the share removed stand.
function skeleton(widths) {
  if (!widths) return null;
  return { widths, planes: [new Float32Array(widths.reduce((a, b) => a + b, 0)).fill(1)] };
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
