// The network of an MLP with an example at its input: it is run here, so that it answers
// to every example, neuron and sparsity at once.

import { css } from "../common/colours.js";
import { draw } from "../common/graph.js";
import { SCORES } from "../common/theme.js";
import { pattern, percent, picture, sharp } from "./images.js";
import { Panel, mounted } from "./panel.js";

const SHOWN = 40; // neurons of each hidden layer, from the highest score to the lowest
const EDGES = 140; // into each layer, by what they carry
const STRIP = 12;

const ACTS = {
  relu: (v) => Math.max(0, v),
  tanh: Math.tanh,
  sigmoid: (v) => 1 / (1 + Math.exp(-v)),
  gelu: (v) => 0.5 * v * (1 + erf(v / Math.SQRT2)),
};

// Abramowitz and Stegun 7.1.26, right to 1.5e-7.
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const tail = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return Math.sign(x) * (1 - tail * Math.exp(-x * x));
}

class Inside extends Panel {
  constructor(root) {
    super(root, "network");
    this.find(".other").addEventListener("click", () => {
      this.page = (this.page ?? 0) + 1;
      this.showStrip();
    });
    const graph = this.find(".graph");
    graph.addEventListener("click", (event) => this.pick(event));
    graph.addEventListener("keydown", (event) => this.key(event));
  }

  get net() {
    return this.numbers;
  }

  begin() {
    const { net } = this;
    this.hidden = net.sizes.slice(1, -1);
    this.order = this.hidden.map((n, l) => {
      const score = net[`score${l}`];
      return [...Array(n).keys()].sort((a, b) => score[b] - score[a] || a - b);
    });
    this.rank = this.order.map((order) => {
      const rank = new Int32Array(order.length);
      order.forEach((neuron, place) => (rank[neuron] = place));
      return rank;
    });
    if (this.at === undefined) {
      const [layer, neuron] = this.data.at.split("-").map(Number);
      this.at = { layer, neuron };
    }
    if (!(this.at.neuron >= 0 && this.at.neuron < this.hidden[this.at.layer])) {
      this.at = { layer: 0, neuron: this.order[0][0] };
    }
    this.page = 0;
    this.example = 0;
    this.showStrip();
  }

  // One example of each class, and others on demand.
  showStrip() {
    const { labels, classes } = this.images;
    const listed = [];
    for (let k = 0; k < classes.length && listed.length < STRIP; k++) {
      const mine = [...labels.keys()].filter((i) => labels[i] === k);
      if (mine.length) listed.push(mine[this.page % mine.length]);
    }
    this.listed = listed;
    if (!listed.includes(this.example)) this.example = listed[0];
    const made = listed.map((index) => {
      const one = picture(this.images, index);
      one.setAttribute("role", "radio");
      one.tabIndex = 0;
      one.setAttribute("aria-label", `example of ${classes[labels[index]]}`);
      const choose = () => this.choose(index);
      one.addEventListener("click", choose);
      one.addEventListener("keydown", (event) => event.key === "Enter" && choose());
      return one;
    });
    this.find(".strip").replaceChildren(...made);
    this.request();
  }

  choose(index) {
    this.example = index;
    this.request();
  }

  selection() {
    return { at: `${this.at.layer}-${this.at.neuron}` };
  }

  // As the server drops: floor(s·n + 0.5), at least one stays.
  kept(layer) {
    const n = this.hidden[layer];
    return Math.max(1, n - Math.floor((this.percent / 100) * n + 0.5));
  }

  isGone(layer, neuron) {
    return this.rank[layer][neuron] >= this.kept(layer);
  }

  // Run the example through the network, without what is cut if asked.
  run(index, isCut) {
    const { sizes, activation } = this.net;
    const size = sizes[0];
    const from = index * size;
    const { images, inputs } = this.images;
    const first = Float64Array.from({ length: size }, (_, i) => (inputs ? inputs[from + i] : images[from + i] / 255));
    const values = [first];
    for (let l = 0; l < sizes.length - 1; l++) {
      const [w, b, x] = [this.net[`w${l}`], this.net[`b${l}`], values[l]];
      const isLast = l === sizes.length - 2;
      const out = new Float64Array(sizes[l + 1]);
      for (let j = 0; j < out.length; j++) {
        if (!isLast && isCut && this.isGone(l, j)) continue;
        let sum = b[j];
        for (let i = 0; i < x.length; i++) sum += w[j * x.length + i] * x[i];
        out[j] = isLast ? sum : ACTS[activation](sum);
      }
      values.push(out);
    }
    return values;
  }

  draw() {
    [...this.find(".strip").children].forEach((one, place) => {
      one.setAttribute("aria-checked", this.listed[place] === this.example);
    });
    this.values = this.run(this.example, true);
    this.dense = this.run(this.example, false);
    this.drawGraph();
    this.drawCard();
    this.describe();
  }

  // Which neurons of a layer are drawn: evenly along the ranking, and the one held, so
  // that the cut is seen wherever it lies.
  shown(layer) {
    const [order, rank] = [this.order[layer], this.rank[layer]];
    const n = Math.min(SHOWN, order.length);
    const places = Array.from({ length: n }, (_, k) => Math.round((k * (order.length - 1)) / Math.max(1, n - 1)));
    if (layer === this.at.layer) {
      const held = rank[this.at.neuron];
      const nearest = places.reduce((a, b, k) => (Math.abs(b - held) < Math.abs(places[a] - held) ? k : a), 0);
      places[nearest] = held;
    }
    return places.map((place) => order[place]);
  }

  scene(width) {
    const { sizes } = this.net;
    const depth = sizes.length;
    const [height, across, channels] = this.images.shape;
    const { height: whole } = this;
    const side = Math.min(132, whole * 0.26);
    const scale = side / Math.max(height, across);
    const left = (width - across * scale) / 2;
    this.box = { left, top: 4, scale };
    const bottom = 6 + Math.max(6, height * scale);
    const nodes = [];
    const places = [new Map()]; // of each layer: which node a neuron is
    const row = (l) => side + 44 + ((l - 0.6) * (whole - side - 74)) / (depth - 1.6);
    for (let l = 1; l < depth; l++) {
      const isLast = l === depth - 1;
      const members = isLast ? [...Array(sizes[l]).keys()].slice(0, 30) : this.shown(l - 1);
      const top = Math.max(...this.values[l].map(Math.abs), 1e-9);
      const shares = isLast ? softmax(this.values[l]) : null;
      places.push(new Map());
      members.forEach((neuron, place) => {
        const strength = isLast ? shares[neuron] : Math.abs(this.values[l][neuron]) / top;
        const r = Math.min(11, (0.4 * (width - 90)) / members.length);
        const held = !isLast && this.at.layer === l - 1 && this.at.neuron === neuron;
        places[l].set(neuron, nodes.length);
        nodes.push({
          layer: l, neuron, r: held ? r * 1.45 : r, half: r, held,
          x: 84 + ((place + 0.5) / members.length) * (width - 90), y: row(l),
          colour: css(SCORES[Math.round(255 * Math.min(1, strength))]),
          gone: !isLast && this.isGone(l - 1, neuron),
          label: isLast ? this.images.classes[neuron].slice(0, 6) : undefined,
        });
      });
    }
    const edges = [];
    for (let l = 0; l < depth - 1; l++) {
      edges.push(...this.edgesInto(l, places, nodes, { left, scale, across, channels, bottom }));
    }
    const names = [{ name: "classes", y: row(depth - 1) }];
    this.hidden.forEach((n, l) => {
      names.push({ name: `layer ${l + 1}`, y: row(l + 1) - 8 });
      names.push({ name: `${places[l + 1].size} of ${n}`, y: row(l + 1) + 8 });
    });
    return { layers: names, nodes, edges: edges.sort((a, b) => b.weight - a.weight) };
  }

  // The edges that carry most of this example; a pixel's leave the picture below it.
  edgesInto(l, places, nodes, { left, scale, across, channels, bottom }) {
    const [w, x] = [this.net[`w${l}`], this.values[l]];
    const found = [];
    const sources = l === 0 ? x.keys() : places[l].keys();
    for (const i of sources) {
      if (!x[i]) continue;
      for (const [j, to] of places[l + 1]) {
        const carried = Math.abs(w[j * x.length + i] * x[i]);
        found.push({ i, to, carried });
      }
    }
    found.sort((a, b) => b.carried - a.carried);
    const most = found[0]?.carried || 1;
    return found.slice(0, EDGES).map(({ i, to, carried }) => {
      let from = places[l].get(i);
      if (l === 0) {
        const column = Math.floor(i / channels) % across;
        from = places[0].get(column);
        if (from === undefined) {
          from = nodes.length;
          places[0].set(column, from);
          nodes.push({
            layer: 0, r: 0, half: 0,
            x: left + (column + 0.5) * scale,
            y: bottom,
          });
        }
      }
      const strong = nodes[to].held;
      return { from, to, weight: carried / most, gone: nodes[to].gone, strong };
    });
  }

  drawGraph() {
    const canvas = this.find(".graph");
    const width = canvas.clientWidth;
    this.height = canvas.clientHeight;
    const c = sharp(canvas, width, this.height);
    c.imageSmoothingEnabled = false;
    const scene = this.scene(width);
    const one = picture(this.images, this.example);
    const { left, top, scale } = this.box;
    const edge = { width: one.width * scale, height: Math.max(6, one.height * scale) };
    c.drawImage(one, left, top, edge.width, edge.height);
    c.strokeStyle = this.look.neutral;
    c.strokeRect(left, top, edge.width, edge.height);
    draw(c, scene, this.look);
    this.nodes = scene.nodes;
    const held = scene.nodes.find((node) => node.held);
    if (held) {
      c.strokeStyle = this.look.wrong;
      c.lineWidth = 3;
      c.beginPath();
      c.arc(held.x, held.y, held.r + 3, 0, 7);
      c.stroke();
    }
  }

  pick(event) {
    const box = this.find(".graph").getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const near = (this.nodes ?? [])
      .filter((n) => n.r > 0 && n.layer <= this.hidden.length)
      .map((n) => ({ n, d: Math.hypot(n.x - x, n.y - y) }))
      .sort((a, b) => a.d - b.d)[0];
    if (!near || near.d > near.n.r + 10) return;
    this.hold(near.n.layer - 1, near.n.neuron);
  }

  // Left and right go along the ranking, up and down to other layers.
  key(event) {
    const { at } = this;
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const layer = Math.max(0, Math.min(this.hidden.length - 1, at.layer + step[0]));
    const place = layer === at.layer ? this.rank[layer][at.neuron] + step[1] : 0;
    const last = this.hidden[layer] - 1;
    this.hold(layer, this.order[layer][Math.max(0, Math.min(last, place))]);
  }

  hold(layer, neuron) {
    this.at = { layer, neuron };
    this.request();
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.commit(), 400);
  }

  drawCard() {
    const { layer, neuron } = this.at;
    const { net, images } = this;
    const n = this.hidden[layer];
    const say = (tag, text) => {
      const made = document.createElement(tag);
      made.textContent = text;
      return made;
    };
    const place = this.rank[layer][neuron] + 1;
    const state = this.isGone(layer, neuron) ? "removed" : "kept";
    const value = this.dense[layer + 1][neuron];
    const size = images.shape.reduce((a, b) => a * b, 1);
    const likes = pattern(net[`pattern${layer}`], neuron * size, images.shape);
    likes.className = "likes";
    const tops = document.createElement("div");
    tops.className = "tops";
    const width = net[`top${layer}`].length / n;
    for (let t = 0; t < width; t++) {
      const index = net[`top${layer}`][neuron * width + t];
      const one = picture(images, index);
      one.className = "top";
      one.title = images.classes[images.labels[index]];
      one.addEventListener("click", () => this.choose(index));
      tops.append(one);
    }
    const dead = net.dead[layer][neuron];
    this.find(".card").replaceChildren(
      say("h4", `Layer ${layer + 1}, neuron ${neuron}`),
      say("p", `Rank ${place} of ${n} by ${this.data.criterion}: ${state}. Answers ${value.toPrecision(3)} here.`),
      say("p", (layer === 0 ? "Its weights" : "What it likes (mean gradient)") + (images.inputs ? ": orange large values, purple small." : ": orange likes light, purple likes dark.")),
      likes,
      say("p", dead ? "It answers the same to every example: it is dead." : "Excited most by (click puts one at the input):"),
      ...(dead ? [] : [tops]),
    );
  }

  describe() {
    const { labels, classes } = this.images;
    const said = (values) => {
      const shares = softmax(values.at(-1));
      const best = shares.indexOf(Math.max(...shares));
      return `${classes[best]} (${percent(shares[best])})`;
    };
    const gone = this.hidden.map((n, l) => n - this.kept(l)).join(" and ");
    this.find(".reading").textContent =
      `This is ${classes[labels[this.example]]}. Dense says ${said(this.dense)}; with ${gone} neurons ` +
      `of the hidden layers removed it says ${said(this.values)}.`;
    this.find(".key").textContent =
      "Colour: how strongly a neuron answers; crossed: removed; edges: what carries most." +
      `${this.sampled()} The highest ranks stand left; click a neuron, or use the arrows.`;
  }

  // Which neurons are drawn, where that is not all.
  sampled() {
    const some = this.hidden.filter((n) => n > SHOWN).map((n) => `${SHOWN} of ${n}`);
    return some.length ? ` Drawn: ${some.join(" and ")} neurons, evenly along the ranking.` : "";
  }

  leave() {
    super.leave();
    clearTimeout(this.waiting);
  }
}

function softmax(values) {
  const top = Math.max(...values);
  const grown = Array.from(values, (v) => Math.exp(v - top));
  const sum = grown.reduce((a, b) => a + b, 0);
  return grown.map((v) => v / sum);
}

export default mounted(Inside, "llmrankInside");
