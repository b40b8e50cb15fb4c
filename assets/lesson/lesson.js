// The lesson: its state, its keys, what moves. All steps answer in the browser; the
// server hears of a change on release, keeps it in the link, and asks networkx.

import { Controls } from "../explorer/controls.js";
import { element } from "../explorer/card.js";
import { lookOf } from "../common/theme.js";
import { derived } from "./derive.js";
import { Edit } from "./edit.js";
import { activations, countWeights } from "./network.js";
import { question } from "./parts.js";
import { paint } from "./scene.js";
import STEPS from "./steps.js";
import { MOST, Walker } from "./walker.js";

const still = matchMedia("(prefers-reduced-motion: reduce)");
const FLIGHT_MS = 1100; // importance on its way
const PAUSE_MS = 1600; // between two moments
const SWEEP_MS = 8000; // a slider from one end to the other
const HIGH = { theta: 1, gamma: 1, sparsity: 0.9 };

const settingsOf = ({ theta, gamma, numbers }) => JSON.stringify([theta, gamma, numbers]);

class Lesson {
  constructor(root) {
    this.root = root;
    this.box = root.querySelector(".lesson");
    this.find = (selector) => root.querySelector(selector);
    this.serial = 0;
    this.complaint = "";
    this.controls = new Controls(this.box, (name, value, released) => this.change({ [name]: value }, released));
    this.edit = new Edit(this.find(".weights"), {
      on: (place, value, released) => this.change({ numbers: this.s.numbers.with(place, value) }, released),
      say: (text) => {
        this.complaint = text;
        this.request();
      },
    });
    STEPS.forEach((step, k) => {
      const button = element("button", step.short);
      button.type = "button";
      button.prepend(element("b", `${k + 1}`));
      button.title = step.title;
      button.addEventListener("click", () => this.go(k, 0));
      this.find(".steps").append(button);
    });
    this.find(".back").addEventListener("click", () => this.move(-1));
    this.find(".next").addEventListener("click", () => this.move(1));
    this.find(".play").addEventListener("click", () => this.toggle());
    this.find(".present").addEventListener("click", () => this.change({ presenter: !this.s.presenter }, true));
    this.find(".real").addEventListener("click", () => this.commit({ leaves: true }));
    this.find(".reset").addEventListener("click", () => this.change({ numbers: this.data.defaults.numbers }, true));
    this.find(".shuffle").addEventListener("click", () => this.shuffle());
    for (const button of root.querySelectorAll("[data-walk]")) {
      button.addEventListener("click", () => this.walk(+button.dataset.walk));
    }
    this.keys = (event) => this.key(event);
    globalThis.addEventListener("keydown", this.keys);
    this.observer = new ResizeObserver(() => this.request());
    this.observer.observe(this.find(".stage"));
  }

  // What steps read: this object is their `x`.
  get step() {
    return STEPS[this.s.step];
  }

  receive({ data, setStateValue }) {
    this.data = data;
    this.send = setStateValue;
    if (this.s === undefined || (data.serial > this.serial && !this.pending)) {
      this.s = structuredClone(data.state);
      this.serial = Math.max(this.serial, data.serial);
    }
    Object.assign(this, { names: data.names, layers: data.layers, examples: data.examples, sizes: data.names.map((n) => n.length) });
    this.controls.defaults = data.defaults;
    this.request();
  }

  // One change of the state, by whatever means; the rest follows from it.
  change(change, released) {
    if (["numbers", "theta", "gamma"].some((key) => key in change)) this.s.walked = 0; // another walk
    Object.assign(this.s, change);
    this.pending = !released;
    if (released) this.commit();
    this.request();
  }

  commit(more = {}) {
    this.pending = false;
    this.serial += 1;
    this.send("commit", { serial: this.serial, state: this.s, ...more });
  }

  go(step, moment) {
    if (step < 0 || step >= STEPS.length) return;
    this.pause();
    this.complaint = "";
    this.change({ step, moment }, true);
  }

  // A moment on or back; past the last one, the next step.
  move(by) {
    const moment = this.s.moment + by;
    if (this.open) {
      if (by > 0) return this.guess("-");
      return this.go(this.s.step - 1, (STEPS[this.s.step - 1]?.moments ?? 1) - 1);
    }
    if (moment >= this.step.moments) return this.go(this.s.step + 1, 0);
    if (moment < 0) return this.go(this.s.step - 1, (STEPS[this.s.step - 1]?.moments ?? 1) - 1);
    const playing = this.playing;
    this.change({ moment }, true);
    if (by > 0 && this.step.short === "Flow") this.fly(moment - 1);
    this.playing = playing;
  }

  fly(stage) {
    if (still.matches) return;
    const start = performance.now();
    const tick = (now) => {
      const share = Math.max(0, now - start) / FLIGHT_MS;
      this.flight = share < 1 ? { stage, share } : null;
      this.draw();
      if (share < 1) requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  get open() {
    return Boolean(this.step.question) && !(this.s.step in this.s.guesses);
  }

  guess(id) {
    const guesses = { ...this.s.guesses };
    if (id === undefined) delete guesses[this.s.step];
    else guesses[this.s.step] = id;
    this.change({ guesses, moment: 0 }, true);
  }

  // What plays belongs to the step: moments, a slider that sweeps, or the walk.
  toggle() {
    if (this.playing) return this.pause(true);
    if (!this.step.play || this.open) return;
    if (this.step.play === "moments" && this.s.moment === this.step.moments - 1) this.change({ moment: 0 }, true);
    this.playing = { before: performance.now(), up: 1, waited: 0, owed: 0 };
    const tick = (now) => {
      if (!this.playing || !this.box.isConnected) return;
      const ms = Math.min(100, now - this.playing.before);
      this.playing.before = now;
      this.tick(ms);
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
    this.request();
  }

  tick(ms) {
    const { play } = this.step;
    const now = this.playing;
    if (play === "moments") {
      now.waited += ms;
      if (now.waited < PAUSE_MS) return;
      now.waited = 0;
      this.move(1);
      if (this.s.moment === this.step.moments - 1) this.pause();
    } else if (play === "walk") {
      now.owed += (ms / 1000) * (3 + this.s.walked / 4); // slow at first, then faster
      const steps = Math.floor(now.owed);
      now.owed -= steps;
      if (steps) this.change({ walked: Math.min(MOST, this.s.walked + steps) }, false);
      if (this.s.walked >= MOST) this.pause(true);
    } else {
      const high = HIGH[play];
      const value = this.s[play] + (now.up * high * ms) / SWEEP_MS;
      if (value >= high || value <= 0) now.up = -now.up;
      this.change({ [play]: Math.max(0, Math.min(high, value)) }, false);
    }
  }

  pause(commit = false) {
    const was = this.playing;
    this.playing = null;
    const { play } = this.step;
    if (was && play in HIGH) this.s[play] = Math.round(100 * this.s[play]) / 100;
    if (was && commit) this.commit();
    this.request();
  }

  walk(steps) {
    this.pause();
    this.change({ walked: steps ? Math.min(MOST, this.s.walked + steps) : 0 }, true);
  }

  shuffle() {
    const quarter = () => Math.round(16 * Math.random() - 8) / 4;
    let numbers;
    for (let tried = 0; tried < 200; tried++) {
      numbers = this.s.numbers.map(quarter);
      const { warning, norms } = derived({ ...this.s, numbers }, this);
      if (!warning && norms.flat().every((norm) => norm > 0)) break; // nobody is silent
    }
    this.change({ numbers }, true);
  }

  key(event) {
    if (!this.s || !this.box.isConnected || event.ctrlKey || event.metaKey || event.altKey) return;
    const [target] = event.composedPath();
    if (target instanceof Element && target.closest("input, textarea, select, [contenteditable=true], [role=slider], [role=combobox]")) return;
    const pressed = target instanceof Element && target.closest("button, a");
    const digit = /^[0-9]$/.test(event.key) ? (+event.key + 9) % 10 : null;
    const doing = {
      ArrowRight: () => this.move(1),
      PageDown: () => this.move(1),
      ArrowLeft: () => this.move(-1),
      PageUp: () => this.move(-1),
      p: () => this.find(".present").click(),
      Escape: this.s.presenter && (() => this.find(".present").click()),
      " ": !pressed && (() => this.toggle()),
    }[event.key];
    if (digit !== null) this.go(digit, 0);
    else if (doing) doing();
    else return;
    event.preventDefault();
  }

  // What networkx said of exactly these settings, if it has been asked.
  networkx() {
    const said = this.data.networkx;
    return said && settingsOf(said) === this.settings ? said : { scores: null, said: "" };
  }

  get settings() {
    return settingsOf(this.s);
  }

  // What the clock found: { faster: names, ratios }, or null.
  get race() {
    return this.data.race;
  }

  get heaviest() {
    return Math.max(...this.s.numbers.map(Math.abs), 1e-9);
  }

  nWeights(network) {
    return countWeights(network);
  }

  smallActs() {
    return activations(this.d.small);
  }

  // The walk to the step asked for: gone on with where it can be, else begun anew.
  get walker() {
    const about = this.settings;
    if (this.walking?.about !== about || this.walking.walker.n > this.s.walked) {
      this.walking = { about, walker: new Walker(this.d.network, this.s) };
    }
    this.walking.walker.to(this.s.walked).fast = this.s.walked > 60;
    return this.walking.walker;
  }

  request() {
    if (this.requested) return;
    this.requested = true;
    requestAnimationFrame(() => {
      this.requested = false;
      if (this.s && this.box.isConnected) this.frame();
    });
  }

  frame() {
    this.d = derived(this.s, this);
    this.look = lookOf(this.box);
    const asked = this.open ? this.step.question(this) : null;
    const shown = this.step.show(this);
    this.shown = asked ? this.concealed(shown) : shown;
    this.box.classList.toggle("presenting", this.s.presenter);
    this.box.classList.toggle("low", Boolean(shown.patterns)); // the clock stands below
    this.panel(asked ?? this.step.question?.(this), asked ? { ...shown, text: "", formulas: [], table: null } : shown);
    this.bottom();
    this.draw();
  }

  // While a question is open the picture is the graph alone.
  concealed(shown) {
    if (shown.patterns) return shown;
    const { d, names, layers, examples, heaviest } = this;
    const s = { ...this.s, moment: 1, node: [0, 0] };
    const bare = STEPS[1].show({ d, names, layers, examples, heaviest, s });
    const gone = shown.absent ?? (() => false);
    const edge = (l, j, i) => {
      const said = this.step.short === "Flow" ? shown.edge(l, j, i) : bare.edge(l, j, i);
      return said && { ...said, gone: gone(l, i) || gone(l + 1, j) };
    };
    return { label: bare.label, edge, gone };
  }

  draw() {
    const canvas = this.find(".picture");
    const scene = paint(canvas, this, this.shown, { flight: this.flight });
    this.scene = scene; // for tests
    canvas.setAttribute("aria-label", `${this.step.title}: the network, layer by layer`);
    this.edit.place(scene, { numbers: this.s.numbers, isOpen: this.s.step === 0, names: this.names });
    this.circles(scene);
  }

  // The nodes as buttons: pointed at, or reached by Tab.
  circles(scene) {
    const box = this.find(".nodes");
    box.hidden = scene === null;
    if (!scene) return;
    scene.nodes.forEach((node, k) => {
      const button = box.children[k] ?? box.appendChild(element("button"));
      button.type = "button";
      button.onclick = () => this.change({ node: node.id }, true);
      button.hidden = node.r === 0;
      button.setAttribute("aria-label", node.label);
      button.setAttribute("aria-pressed", `${node.id}` === `${this.s.node}`);
      const r = Math.max(12, node.r);
      Object.assign(button.style, { left: `${node.x - r}px`, top: `${node.y - r}px`, width: `${2 * r}px`, height: `${2 * r}px` });
    });
  }

  panel(asked, { text, formulas, table, note }) {
    const { step, s } = this;
    this.find("h3").textContent = `${s.step + 1}. ${step.title}`;
    this.find(".text").textContent = text;
    this.find(".text").hidden = !text;
    const about = asked && JSON.stringify([s.step, s.guesses[s.step], asked]);
    if (about !== this.asked) {
      this.asked = about; // left alone while nothing changes: a button keeps its focus
      this.find(".question").replaceChildren(...(asked ? question(asked, s.guesses[s.step], (id) => this.guess(id)) : []));
    }
    for (const slider of this.root.querySelectorAll(".slider")) {
      const { setting } = slider.querySelector("input").dataset;
      slider.hidden = this.open || !step.sliders.includes(setting);
    }
    this.controls.show(s, {}, { hasTheta: true });
    this.find(".formulas").replaceChildren(...formulas);
    this.find(".table").replaceChildren(...(table ? [table] : []));
    this.find(".note").textContent = this.complaint || note || this.d.warning || "";
  }

  bottom() {
    const { s, step } = this;
    [...this.find(".steps").children].forEach((button, k) => {
      button.setAttribute("aria-pressed", k === s.step);
      button.setAttribute("aria-current", k === s.step ? "step" : "false");
    });
    this.find(".back").disabled = s.step === 0 && s.moment === 0;
    this.find(".next").disabled = s.step === STEPS.length - 1 && !this.open;
    this.find(".play").textContent = this.playing ? "Pause" : "Play";
    this.find(".play").disabled = !step.play || this.open;
    this.find(".where").textContent = step.moments > 1 && !this.open ? `moment ${s.moment + 1} of ${step.moments}` : "";
    this.find(".walks").hidden = step.play !== "walk" || this.open;
    this.find(".edits").hidden = s.step !== 0 || s.presenter;
    this.find(".present").textContent = s.presenter ? "Leave presenting" : "Present";
  }

  leave() {
    this.playing = null;
    this.observer.disconnect();
    globalThis.removeEventListener("keydown", this.keys);
  }
}

const MOUNTED = new WeakMap();

export default function (component) {
  const root = component.parentElement;
  if (!MOUNTED.has(root)) {
    MOUNTED.set(root, new Lesson(root));
    globalThis.llmrankLesson = MOUNTED.get(root);
  }
  MOUNTED.get(root).receive(component);
  return () => {
    MOUNTED.get(root)?.leave();
    MOUNTED.delete(root);
  };
}
