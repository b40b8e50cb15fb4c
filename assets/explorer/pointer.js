// Pointer, wheel, touch and keys on the canvas: point, hold, brush, zoom, pan.

import { sizeOf } from "../common/size.js";
import { GUTTER } from "./strips.js";

const CLICK = 4; // pixels that a pointer may move and still click
const ZOOM = { "+": 0.5, "=": 0.5, "-": 2 };
const CLOSEST = 4; // columns in view

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
    const layer = this.layerAt(at.y);
    this.start = { ...at, from, to, layer, pan: event.shiftKey, moved: false };
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
    const { start, explorer } = this;
    if (this.pinch) return; // the finger that is left
    if (Math.hypot(at.x - start.x, at.y - start.y) > CLICK) start.moved = true;
    if (!start.moved) return;
    if (start.pan) {
      const shift = ((start.x - at.x) / this.width) * (start.to - start.from);
      this.show(start.from + shift, start.to + shift);
    } else if (start.layer !== null) explorer.overlay.brushing = this.range(start, at);
    explorer.request();
  }

  // The places of a layer between two points, at least one.
  range({ layer, x }, to) {
    const { view, engine } = this.explorer;
    const place = (at) => view.from + (Math.max(0, Math.min(at, this.width)) / this.width) * (view.to - view.from);
    const [a, b] = [place(x), place(to.x)].sort((p, q) => p - q);
    const from = Math.min(Math.floor(a), engine.widths[layer] - 1);
    return { layer, from, to: Math.max(from + 1, Math.min(Math.ceil(b), engine.widths[layer])) };
  }

  get moving() {
    return Boolean(this.zooming || this.pinch || this.start?.moved);
  }

  up(event) {
    this.touches.delete(event.pointerId);
    const { explorer, start, pinch } = this;
    if (this.touches.size > 0 || start === null) return;
    const { brushing } = explorer.overlay;
    this.start = this.pinch = explorer.overlay.brushing = null;
    if (pinch || (start.pan && start.moved)) explorer.commit();
    else if (brushing && event.type === "pointerup") explorer.brush(brushing);
    else if (!start.moved && event.type === "pointerup") this.click(this.at(event));
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
    const { strips } = this.explorer;
    const row = strips.rows.find((r) => y * strips.ratio < r.top + r.height + 1);
    return row ? row.layer : null;
  }

  point(at) {
    const { explorer } = this;
    const before = explorer.hovered;
    if (before?.neuron === at?.neuron && before?.layer === at?.layer) return;
    explorer.hovered = at;
    if (!explorer.engine) return;
    explorer.beside.showCard();
    this.drawing ??= requestAnimationFrame(() => {
      this.drawing = null;
      if (explorer.engine) explorer.overlay.draw();
    });
  }

  wheel(event) {
    const { view, engine } = this.explorer;
    if (!engine) return;
    const isZoom = event.ctrlKey || event.metaKey; // as a pinch on a trackpad says too
    if (!isZoom && !event.deltaX) return; // the page scrolls on
    event.preventDefault();
    const at = view.from + (this.at(event).x / this.width) * (view.to - view.from);
    const factor = Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 200);
    this.scale(at, isZoom ? factor : 1, (event.deltaX / this.width) * (view.to - view.from));
    this.rest();
  }

  // Zooming by wheel or keys has no end of its own: a pause is one.
  rest() {
    clearTimeout(this.zooming);
    this.zooming = setTimeout(() => {
      this.zooming = null;
      this.explorer.commit();
    }, 300);
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

  // Show a range of columns, a few at least, within what there is.
  show(from, to) {
    const { view, engine } = this.explorer;
    const widest = engine.widest;
    const span = Math.max(Math.min(CLOSEST, widest), Math.min(widest, to - from));
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
    else if (event.key === "Enter" && event.shiftKey) this.reach();
    else if (event.key === "Enter" || event.key === " ") explorer.choose(explorer.hovered ?? explorer.chosen);
    else if (event.key in ZOOM) {
      this.scale(middle, ZOOM[event.key]);
      this.rest();
    } else if (event.key === "Escape") explorer.letGo();
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
    explorer.reveal({ layer, neuron });
    this.point({ layer, neuron, position });
  }

  // The range from the neuron held to the cursor, in the layer of both.
  reach() {
    const { hovered, chosen, links } = this.explorer;
    if (hovered === null || hovered.layer !== chosen?.layer) return;
    const [a, b] = [hovered, chosen].map((at) => links.position(at.layer, at.neuron));
    if (a === null || b === null) return;
    this.explorer.brush({ layer: chosen.layer, from: Math.min(a, b), to: Math.max(a, b) + 1 });
  }
}
