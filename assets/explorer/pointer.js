// Pointer, wheel, touch and keys on the canvas, and what is drawn above the strips:
// the layers' names, the axis, the cursor, the brush.

import { count } from "./card.js";
import { fit, sizeOf } from "./size.js";
import { GUTTER } from "./strips.js";

const CLICK = 4; // pixels that a pointer may move and still click

export class Pointer {
  constructor(explorer) {
    this.explorer = explorer;
    this.canvas = explorer.find(".overlay");
    this.touches = new Map();
    this.start = null;
    const listen = (name, handler, options) =>
      this.canvas.addEventListener(name, handler, options);
    listen("pointerdown", (e) => this.down(e));
    listen("pointermove", (e) => this.move(e));
    listen("pointerup", (e) => this.up(e));
    listen("pointercancel", (e) => this.up(e));
    listen("pointerleave", () => this.point(null));
    listen("wheel", (e) => this.wheel(e), { passive: false });
    listen("dblclick", () => explorer.zoom(null));
    listen("keydown", (e) => this.key(e));
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left - GUTTER, y: event.clientY - box.top };
  }

  find({ x, y }) {
    const { strips, engine, view } = this.explorer;
    return engine ? strips.at(engine, view, x, y) : null;
  }

  get width() {
    return sizeOf(this.canvas).width - GUTTER;
  }

  down(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.focus({ preventScroll: true });
    const at = this.at(event);
    this.touches.set(event.pointerId, at);
    if (this.touches.size === 2) this.pinch = this.spread();
    const { from, to } = this.explorer.view;
    this.start = { ...at, from, to, pan: event.shiftKey, moved: false };
  }

  move(event) {
    const at = this.at(event);
    if (!this.touches.has(event.pointerId)) {
      this.point(this.find(at));
      return;
    }
    this.touches.set(event.pointerId, at);
    if (this.touches.size === 2) this.zoomPinch();
    else this.drag(at);
  }

  drag(at) {
    const { start } = this;
    if (Math.hypot(at.x - start.x, at.y - start.y) > CLICK) start.moved = true;
    if (!start.moved) return;
    if (start.pan) {
      const shift = ((start.x - at.x) / this.width) * (start.to - start.from);
      this.show(start.from + shift, start.to + shift);
    } else this.brush = [start.x, at.x].sort((a, b) => a - b);
    this.explorer.request();
  }

  up(event) {
    this.touches.delete(event.pointerId);
    const { explorer, start, brush } = this;
    if (this.touches.size > 0 || start === null) return;
    if (this.pinch || start.pan) explorer.commit();
    else if (brush) {
      const { from, to } = explorer.view;
      const neuron = (x) => from + (Math.max(0, Math.min(x, this.width)) / this.width) * (to - from);
      const [a, b] = brush.map(neuron);
      this.show(Math.floor(a), Math.ceil(b));
      explorer.commit();
    } else if (!start.moved && event.type === "pointerup") this.click(this.at(event));
    this.start = this.brush = this.pinch = null;
    explorer.request();
  }

  // On a layer's name: that layer alone, or all again. On a neuron: hold it.
  click(at) {
    const { explorer } = this;
    if (at.x < 0) {
      const layer = this.layerAt(at.y);
      explorer.zoom(explorer.view.layer === null ? layer : null);
    } else explorer.choose(this.find(at));
  }

  layerAt(y) {
    const { strips, engine, view } = this.explorer;
    const row = strips
      .rows(engine, view)
      .find((r) => y * strips.ratio < r.top + r.height + 1);
    return row ? row.layer : null;
  }

  point(at) {
    const { explorer } = this;
    const before = explorer.hovered;
    if (before?.neuron === at?.neuron && before?.layer === at?.layer) return;
    explorer.hovered = at;
    if (!explorer.engine) return;
    explorer.showCard();
    this.draw();
  }

  wheel(event) {
    const { view, engine } = this.explorer;
    if (!engine) return;
    event.preventDefault();
    const at = view.from + (this.at(event).x / this.width) * (view.to - view.from);
    const factor = Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 200);
    this.scale(at, event.deltaX ? 1 : factor, (event.deltaX / this.width) * (view.to - view.from));
    clearTimeout(this.wheeling);
    this.wheeling = setTimeout(() => this.explorer.commit(), 300);
  }

  scale(at, factor, shift = 0) {
    const { view } = this.explorer;
    const from = at - (at - view.from) * factor + shift;
    this.show(from, from + (view.to - view.from) * factor);
  }

  spread() {
    const [a, b] = [...this.touches.values()];
    return { distance: Math.max(20, Math.abs(a.x - b.x)), middle: (a.x + b.x) / 2 };
  }

  zoomPinch() {
    const now = this.spread();
    const { view } = this.explorer;
    const at = view.from + (now.middle / this.width) * (view.to - view.from);
    const moved = ((this.pinch.middle - now.middle) / this.width) * (view.to - view.from);
    this.scale(at, this.pinch.distance / now.distance, moved);
    this.pinch = now;
  }

  // Show a range of columns, at least 16 of them, within what there is.
  show(from, to) {
    const { view, engine } = this.explorer;
    const widest = engine.widest;
    const span = Math.max(Math.min(16, widest), Math.min(widest, to - from));
    view.from = Math.max(0, Math.min(widest - span, from));
    view.to = view.from + span;
    this.explorer.request();
  }

  key(event) {
    const { explorer } = this;
    const { engine, view } = explorer;
    if (!engine || event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = {
      ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
    };
    const middle = (view.from + view.to) / 2;
    if (event.key in steps) this.step(...steps[event.key], event.shiftKey ? 10 : 1);
    else if (event.key === "Enter" || event.key === " ") explorer.choose(explorer.hovered ?? explorer.chosen);
    else if (event.key === "+" || event.key === "=") this.scale(middle, 0.5);
    else if (event.key === "-") this.scale(middle, 2);
    else if (event.key === "Escape") explorer.zoom(null);
    else return;
    event.preventDefault();
  }

  // Move the cursor along the columns or to another layer.
  step(columns, layers, by) {
    const { explorer } = this;
    const { engine, view } = explorer;
    const now = explorer.hovered ?? explorer.chosen ?? { layer: 0, neuron: 0 };
    const layer = Math.max(0, Math.min(engine.widths.length - 1, now.layer + layers));
    const place = view.sort === "rank" ? engine.rank[engine.starts[now.layer] + now.neuron] : now.neuron;
    const position = Math.max(0, Math.min(engine.widths[layer] - 1, place + columns * by));
    const neuron = view.sort === "rank" ? engine.order[engine.starts[layer] + position] : position;
    if (view.layer !== null) view.layer = layer;
    if (position < view.from) this.show(position, position + view.to - view.from);
    if (position >= view.to) this.show(position + 1 - view.to + view.from, position + 1);
    this.point({ layer, neuron, position });
    if (view.layer !== null) explorer.request();
  }

  draw() {
    const { explorer, canvas } = this;
    const { engine, view, strips } = explorer;
    const ratio = strips.ratio;
    const { width, height } = fit(canvas, ratio);
    const c = canvas.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, width, height);
    c.font = "12px sans-serif";
    c.fillStyle = explorer.theme().text;
    const rows = strips.rows(engine, view);
    this.names(c, rows, ratio);
    this.axis(c, width, height);
    this.paths(c, rows, ratio);
    for (const at of [explorer.chosen, explorer.hovered]) if (at) this.mark(c, rows, at, ratio);
    if (this.brush) {
      c.globalAlpha = 0.25;
      c.fillRect(GUTTER + this.brush[0], 0, this.brush[1] - this.brush[0], height - 18);
      c.globalAlpha = 1;
    }
  }

  names(c, rows, ratio) {
    c.textAlign = "right";
    c.textBaseline = "middle";
    const every = Math.ceil((13 * ratio) / (rows[0].height + 1));
    rows.forEach((row, i) => {
      if (i % every === 0) c.fillText(`L${row.layer}`, GUTTER - 6, (row.top + row.height / 2) / ratio);
    });
  }

  axis(c, width, height) {
    const { view } = this.explorer;
    const first = view.sort === "rank" ? 1 : 0;
    const name = view.sort === "rank" ? "rank" : "index";
    c.textBaseline = "alphabetic";
    for (let i = 0; i <= 4; i++) {
      const at = Math.round(view.from + (i / 4) * (view.to - view.from - 1)) + first;
      c.textAlign = i === 0 ? "left" : i === 4 ? "right" : "center";
      const text = i === 0 ? `${name} ${count(at)}` : count(at);
      c.fillText(text, GUTTER + (i / 4) * (width - GUTTER), height - 4);
    }
  }

  // Where a neuron is drawn, or null: its left edge, its width, its row.
  place(rows, at) {
    const { engine, view } = this.explorer;
    const row = rows.find((r) => r.layer === at.layer);
    if (!row || at.neuron >= engine.widths[at.layer]) return null;
    const i = engine.starts[at.layer] + at.neuron;
    const position = view.sort === "rank" ? engine.rank[i] : at.neuron;
    if (position < view.from || position >= view.to) return null;
    const per = this.width / (view.to - view.from);
    return { x: GUTTER + (position - view.from) * per, per, row };
  }

  // The strongest paths of the held neuron to its neighbours in the chained graph.
  paths(c, rows, ratio) {
    const { explorer } = this;
    const { paths } = explorer.data;
    const held = explorer.chosen;
    if (!held || !paths || paths.layer !== held.layer || paths.neuron !== held.neuron) return;
    const from = this.place(rows, held);
    if (!from) return;
    const most = Math.max(...paths.ends.map((end) => end.flow));
    for (const end of paths.ends.slice(0, explorer.pending ? 300 : 2000)) {
      const to = this.place(rows, end);
      if (!to) continue;
      const middle = ({ row }) => (row.top + row.height / 2) / ratio;
      for (const [style, width] of [["#000", 4], ["#fff", 2]]) {
        c.strokeStyle = style;
        c.lineWidth = (width * (0.4 + end.flow / most)) / 1.4;
        c.beginPath();
        c.moveTo(from.x + from.per / 2, middle(from));
        c.lineTo(to.x + to.per / 2, middle(to));
        c.stroke();
      }
      this.mark(c, rows, end, ratio);
    }
  }

  mark(c, rows, at, ratio) {
    const place = this.place(rows, at);
    if (!place) return;
    const { x, per, row } = place;
    c.lineWidth = 3;
    c.strokeStyle = "#000";
    c.strokeRect(x - 2, row.top / ratio - 1, Math.max(4, per + 2), row.height / ratio + 2);
    c.lineWidth = 1.5;
    c.strokeStyle = "#fff";
    c.strokeRect(x - 2, row.top / ratio - 1, Math.max(4, per + 2), row.height / ratio + 2);
  }
}
