// What lies above the strips: the layers' names, the axis, the graph, cursor and brush.

import { count, said } from "./card.js";
import { fit } from "../common/size.js";
import { GUTTER } from "./strips.js";

const LINE = 13; // pixels that a layer's name needs

export class Overlay {
  constructor(explorer) {
    this.explorer = explorer;
    this.canvas = explorer.find(".overlay");
    this.brushing = null; // { layer, from, to } while a range is being drawn
  }

  draw() {
    const { explorer, canvas } = this;
    const { strips, view, chosen, hovered, links } = explorer;
    const { ratio, rows } = strips;
    const { width, height } = fit(canvas, ratio);
    const c = canvas.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, width, height);
    c.font = '12px "Source Sans", sans-serif';
    this.width = width - GUTTER;
    links.draw(c, this.width, height - 18);
    c.fillStyle = explorer.theme().text;
    this.names(c, rows, ratio);
    this.axis(c, width, height);
    const range = this.brushing ?? view.brush;
    if (range) this.range(c, rows, range, ratio);
    for (const at of [chosen, hovered]) if (at) this.mark(c, rows, at, ratio);
    if (chosen && hovered) this.tip(c, rows, hovered);
  }

  // One line beside what is pointed at, while the card tells of the neuron held.
  tip(c, rows, at) {
    const { engine, links, view, strips } = this.explorer;
    const row = rows.find((r) => r.layer === at.layer);
    const place = links.position(at.layer, at.neuron);
    if (!row || place === null) return;
    const text = said(engine, at);
    const width = c.measureText(text).width + 12;
    const x = GUTTER + ((place - view.from) * this.width) / (view.to - view.from) + 10;
    const y = row.top / strips.ratio;
    const look = this.explorer.theme();
    c.fillStyle = look.background;
    c.strokeStyle = look.neutral;
    c.lineWidth = 1;
    c.beginPath();
    c.rect(Math.min(x, GUTTER + this.width - width), y < 26 ? y + 20 : y - 24, width, 20);
    c.fill();
    c.stroke();
    c.fillStyle = look.text;
    c.textAlign = "left";
    c.fillText(text, Math.min(x, GUTTER + this.width - width) + 6, y < 26 ? y + 34 : y - 10);
  }

  // Tall rows all, low ones in regular steps.
  names(c, rows, ratio) {
    c.textAlign = "right";
    c.textBaseline = "middle";
    const written = [];
    const low = Math.min(...rows.map((row) => row.height)) / ratio + 1;
    const step = [1, 2, 5, 10, 20].find((n) => n * low >= LINE) ?? 50;
    const tall = (row) => row.height / ratio >= LINE;
    for (const row of [...rows].sort((a, b) => tall(b) - tall(a))) {
      const y = Math.max(LINE / 2, (row.top + row.height / 2) / ratio);
      if (!tall(row) && row.layer % step) continue;
      if (written.some((other) => Math.abs(other - y) < LINE - 1)) continue;
      written.push(y);
      c.fillText(`L${row.layer}`, GUTTER - 6, y);
    }
  }

  axis(c, width, height) {
    const { view } = this.explorer;
    const first = view.sort === "rank" ? 1 : 0;
    const name = view.sort === "rank" ? "rank" : "index";
    c.textBaseline = "alphabetic";
    const per = (width - GUTTER) / (view.to - view.from);
    for (let i = 0; i <= 4; i++) {
      const at = Math.round(view.from + (i / 4) * (view.to - view.from - 1));
      const middle = GUTTER + (at + 0.5 - view.from) * per; // below its neuron
      c.textAlign = i === 0 ? "left" : i === 4 && per < 30 ? "right" : "center";
      const x = i === 0 ? GUTTER : i === 4 && per < 30 ? width : middle;
      c.fillText(i === 0 ? `${name} ${count(at + first)}` : count(at + first), x, height - 4);
    }
  }

  // A frame around places of one layer: those brushed, or one neuron's.
  frame(c, row, from, to, ratio) {
    const { view } = this.explorer;
    const per = this.width / (view.to - view.from);
    const x = GUTTER + Math.max(0, (from - view.from) * per);
    const end = GUTTER + Math.min(this.width, (to - view.from) * per);
    if (end < GUTTER || x > GUTTER + this.width) return;
    const box = [x - 2, row.top / ratio - 1, Math.max(4, end - x + 2), row.height / ratio + 2];
    for (const [style, width] of [["#000", 3], ["#fff", 1.5]]) {
      c.strokeStyle = style;
      c.lineWidth = width;
      c.strokeRect(...box);
    }
  }

  range(c, rows, { layer, from, to }, ratio) {
    const row = rows.find((r) => r.layer === layer);
    if (row) this.frame(c, row, from, to, ratio);
  }

  mark(c, rows, { layer, neuron }, ratio) {
    const { links } = this.explorer;
    const row = rows.find((r) => r.layer === layer);
    const at = links.position(layer, neuron);
    if (!row || at === null) return;
    if (!links.discrete) return this.frame(c, row, at, at + 1, ratio);
    const { x, y, r } = links.circle(layer, neuron);
    for (const [style, width] of [["#000", 4], ["#fff", 2]]) {
      c.strokeStyle = style;
      c.lineWidth = width;
      c.beginPath();
      c.arc(x, y, r + 3.5, 0, 2 * Math.PI);
      c.stroke();
    }
  }
}
