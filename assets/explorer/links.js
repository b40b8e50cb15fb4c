// The graph over the canvas: which edges are drawn of what is selected, and in what detail.

import { count, three } from "./card.js";
import { draw } from "../common/graph.js";
import { inView } from "./layout.js";
import { take } from "../common/shelf.js";
import { GUTTER, neuronColour } from "./strips.js";

const MAX_NODES = 300; // as in llmrank.analysis.neuron.selection
const MOVING = 300; // edges while anything moves
const RESTING = 2000;
const ROOM = 34; // pixels from layer to layer in which an edge can be followed
const LABEL = 34; // pixels between neurons that leave room for their indices

const middle = (row) => row.top + row.height / 2;

export class Links {
  constructor(explorer) {
    this.explorer = explorer;
    this.shown = { level: "strips", nodes: 0, edges: 0, gone: 0, asked: 0 };
  }

  get on() {
    return this.explorer.view.edges === "on";
  }

  // The layer that needs room for edges, or null: of the neuron held, of the range, zoomed into.
  get focus() {
    const { view, chosen } = this.explorer;
    if (!this.on) return null;
    if (view.layer !== null) return view.layer;
    if (chosen && this.position(chosen.layer, chosen.neuron) !== null) return chosen.layer;
    return view.brush ? view.brush.layer : null;
  }

  // Whether each neuron in view is drawn by itself.
  get discrete() {
    const { engine, view, strips } = this.explorer;
    return this.on && inView(engine, view, strips.rows.map((r) => r.layer)) <= MAX_NODES;
  }

  // A neuron's place in the order of columns, or null where it is out of view.
  position(layer, neuron) {
    const { engine, view } = this.explorer;
    if (layer >= engine.widths.length || neuron >= engine.widths[layer]) return null;
    const at = view.sort === "rank" ? engine.rank[engine.starts[layer] + neuron] : neuron;
    return at >= Math.floor(view.from) && at < view.to ? at : null;
  }

  // Draw what belongs to this view; `width` is that of the columns, in CSS pixels.
  draw(c, width, height) {
    if (!this.on) return;
    const discrete = this.discrete;
    const nodes = discrete ? this.neurons(width) : [];
    const { edges, asked } = this.edges(nodes, discrete, width);
    c.save();
    c.beginPath();
    c.rect(GUTTER, 0, width, height);
    c.clip();
    const drawn = draw(c, { layers: [], nodes, edges }, this.explorer.theme());
    c.restore();
    this.shown = { level: discrete ? "nodes" : "strips", ...drawn, asked };
  }

  // What stands for a neuron: its circle, or its place on the strip.
  node(row, position, width) {
    const { view, strips } = this.explorer;
    const per = width / (view.to - view.from);
    const half = row.height / strips.ratio / 2;
    const x = GUTTER + (position + 0.5 - view.from) * per;
    return { x, y: row.top / strips.ratio + half, half, r: 0 };
  }

  // All neurons in view as circles, their area as their score.
  neurons(width) {
    const { engine, view, strips, scale, pin } = this.explorer;
    const per = width / (view.to - view.from);
    const top = 2 ** scale.high;
    const nodes = [];
    this.places = new Map();
    for (const row of strips.rows) {
      const { layer } = row;
      const colour = neuronColour(engine, view, scale, pin, layer);
      const largest = Math.max(2.5, Math.min(16, 0.46 * per, row.height / strips.ratio / 2));
      const end = Math.min(engine.widths[layer], Math.ceil(view.to));
      for (let at = Math.floor(view.from); at < end; at++) {
        const neuron = view.sort === "rank" ? engine.order[engine.starts[layer] + at] : at;
        const i = engine.starts[layer] + neuron;
        const size = (engine.normalised(layer, neuron) * engine.widths[layer]) / top;
        const r = Math.max(2, largest * Math.sqrt(Math.min(1, size)));
        this.places.set(i, nodes.length);
        const label = per >= LABEL && row.height > 24 * strips.ratio ? count(neuron) : undefined;
        const gone = engine.rank[i] >= engine.kept[layer];
        nodes.push({ ...this.node(row, at, width), r, half: r, colour: colour(i), gone, label });
      }
    }
    this.circles = nodes;
    return nodes;
  }

  // The circle of a neuron, while each has one.
  circle(layer, neuron) {
    return this.circles[this.places.get(this.explorer.engine.starts[layer] + neuron)];
  }

  // The strongest edges with both ends in view; on strips their ends join the nodes.
  edges(nodes, discrete, width) {
    const { data, engine, strips, hovered, chosen, moving } = this.explorer;
    const links = take(data.links?.name);
    if (!links) return { edges: [], asked: 0 };
    const { layer, source, target, flow } = links;
    const rows = new Map(strips.rows.map((row) => [row.layer, row]));
    const index = (at) => (at ? engine.starts[at.layer] + at.neuron : -1);
    const [near, held] = [index(hovered), discrete ? index(chosen) : -1];
    const limit = moving ? MOVING : RESTING;
    const least = flow[flow.length - 1];
    const edges = [];
    for (let k = 0; k < flow.length && edges.length < limit; k++) {
      const [a, b] = [this.end(rows, layer[k], source[k]), this.end(rows, layer[k] + 1, target[k])];
      if (!a || !b || middle(b.row) - middle(a.row) < ROOM * strips.ratio) continue;
      const strong = a.i === near || b.i === near || a.i === held || b.i === held;
      if (!discrete) nodes.push(this.node(a.row, a.at, width), this.node(b.row, b.at, width));
      const [from, to] = discrete
        ? [this.places.get(a.i), this.places.get(b.i)]
        : [nodes.length - 2, nodes.length - 1];
      edges.push({ from, to, weight: (flow[k] - least) / (flow[0] - least || 1), gone: a.gone || b.gone, strong });
    }
    return { edges, asked: flow.length };
  }

  end(rows, layer, neuron) {
    const { engine } = this.explorer;
    const row = rows.get(layer);
    const at = row ? this.position(layer, neuron) : null;
    if (at === null) return null;
    const i = engine.starts[layer] + neuron;
    return { row, at, i, gone: engine.rank[i] >= engine.kept[layer] };
  }

  // The legend: the level of detail, and how much of what there is is drawn.
  describe(box) {
    box.hidden = !this.on;
    if (!this.on) return;
    const { engine, view, strips, data } = this.explorer;
    const n = inView(engine, view, strips.rows.map((r) => r.layer));
    const { edges, gone, asked, level } = this.shown;
    const links = take(data.links?.name);
    const flow = (k) => three(links.flow[k] * engine.widths[links.layer[k] + 1]);
    const rows = {
      drawn:
        level === "nodes"
          ? `${count(n)} neurons as circles: large for high scores, hollow if removed`
          : `${count(n)} neurons as strips (circles up to ${MAX_NODES})`,
      edges: this.said(links),
      dashed: links && `${count(gone)} at a neuron that is removed`,
      width: asked > 0 && `${flow(asked - 1)} to ${flow(0)} × an even split`,
    };
    box.style.setProperty("--edge", this.explorer.theme().accent);
    for (const [name, text] of Object.entries(rows)) {
      const [dt, dd] = box.querySelectorAll(`.${name}`);
      dt.hidden = dd.hidden = !text;
      dd.textContent = text || "";
    }
  }

  said(links) {
    const { said } = this.explorer.data.links ?? {};
    const { edges, asked, level } = this.shown;
    if (!said) return "hold a neuron, brush a range or zoom into a layer";
    if (!links) return "being computed …";
    if (!edges && asked && level === "nodes") return "hold a neuron or zoom into a layer: the rows are too close for edges";
    return `${edges < asked ? `${count(edges)} of ` : ""}the ${count(asked)} strongest of ${said}`;
  }
}
