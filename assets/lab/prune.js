// Drag the sparsity of an MLP: what every smaller network answers is here already.

import { css } from "../common/colours.js";
import { SCORES } from "../common/theme.js";
import { percent, picture, sharp } from "./images.js";
import { Panel, mounted } from "./panel.js";

const DASHES = [[], [8, 4], [2, 3], [8, 3, 2, 3], [12, 4]];
const HEIGHT = 400;
const THUMB = 44;
const NAME = 14; // px between names
const [LEFT, RIGHT] = [40, 78]; // of the curve: for per cents, and for the lines' names

class Pruning extends Panel {
  constructor(root) {
    super(root, "sweeps");
    const { find } = this;
    find(".sparsity").addEventListener("dblclick", () => {
      this.move(30);
      this.commit();
    });
    const curve = find(".curve");
    const drag = (event) => {
      const box = curve.getBoundingClientRect();
      this.move(100 * ((event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT)));
    };
    curve.addEventListener("pointerdown", (event) => {
      curve.setPointerCapture(event.pointerId);
      this.dragging = true;
      drag(event);
    });
    curve.addEventListener("pointermove", (event) => this.dragging && drag(event));
    curve.addEventListener("pointerup", () => {
      this.dragging = false;
      this.commit();
    });
    find(".confusion").addEventListener("click", (event) => this.pick(event));
  }

  get sweeps() {
    return this.numbers;
  }

  follow({ criterion }) {
    this.criterion = criterion;
  }

  begin() {
    this.n = this.images.labels.length;
    this.pictures = new Map();
    this.cell = null;
    this.accuracies = this.sweeps.criteria.map((_, c) => this.sweepOf(c));
    this.buttons();
  }

  // The place of the criterion in hand.
  get chosen() {
    return Math.max(0, this.sweeps.criteria.indexOf(this.criterion));
  }

  // The answers of one criterion's network at one sparsity, one byte an example.
  answers(criterion, step) {
    const at = (criterion * this.sweeps.sparsities.length + step) * this.n;
    return this.sweeps.predictions.subarray(at, at + this.n);
  }

  sweepOf(criterion) {
    return this.sweeps.sparsities.map((_, step) => {
      const found = this.answers(criterion, step);
      let right = 0;
      for (let i = 0; i < this.n; i++) right += found[i] === this.images.labels[i];
      return right / this.n;
    });
  }

  buttons() {
    const made = this.sweeps.criteria.map((name) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("role", "radio");
      button.textContent = name;
      button.addEventListener("click", () => {
        this.criterion = name;
        this.commit();
        this.request();
      });
      return button;
    });
    this.find(".criteria").replaceChildren(...made);
  }

  selection() {
    return { criterion: this.criterion };
  }

  draw() {
    [...this.find(".criteria").children].forEach((button, c) => {
      button.setAttribute("aria-checked", c === this.chosen);
      button.style.setProperty("--own", this.colour(c));
    });
    this.compare();
    this.drawCurve();
    this.drawConfusion();
    this.drawNews();
    this.describe();
  }

  colour(c) {
    return this.look.series[this.sweeps.places[c] % this.look.series.length];
  }

  // Dense answers, those of now, and where they part.
  compare() {
    const { labels, classes } = this.images;
    const dense = this.answers(this.chosen, 0);
    const now = this.answers(this.chosen, this.percent);
    const k = classes.length;
    this.counts = new Uint32Array(k * k);
    this.news = [];
    this.better = 0;
    for (let i = 0; i < this.n; i++) {
      this.counts[labels[i] * k + now[i]] += 1;
      if (dense[i] === labels[i] && now[i] !== labels[i]) this.news.push(i);
      else if (dense[i] !== labels[i] && now[i] === labels[i]) this.better += 1;
    }
    this.now = now;
  }

  // How many other criteria answer surely better or worse on the same examples.
  place() {
    const { labels } = this.images;
    const told = { better: 0, worse: 0, same: 0 };
    this.sweeps.criteria.forEach((_, c) => {
      if (c === this.chosen) return;
      const other = this.answers(c, this.percent);
      let lost = 0;
      let won = 0;
      for (let i = 0; i < this.n; i++) {
        const own = this.now[i] === labels[i];
        if (own !== (other[i] === labels[i])) own ? won++ : lost++;
      }
      const sure = mcnemar(won, lost) < 0.05;
      told[!sure ? "same" : lost > won ? "better" : "worse"] += 1;
    });
    const others = this.sweeps.criteria.length - 1;
    return `; of ${others} other criteria ${told.better} better, ${told.worse} worse, ${told.same} not told apart (McNemar, 95 %)`;
  }

  drawCurve() {
    const canvas = this.find(".curve");
    const width = canvas.clientWidth;
    const c = sharp(canvas, width, HEIGHT);
    const { look, percent: at } = this;
    const [left, right, top, bottom] = [LEFT, RIGHT, 10, 34];
    const x = (p) => left + (p / 100) * (width - left - right);
    const y = (a) => top + (1 - a) * (HEIGHT - top - bottom);
    c.strokeStyle = look.grid;
    c.fillStyle = look.text;
    for (const a of [0, 0.25, 0.5, 0.75, 1]) {
      line(c, left, y(a), width - right, y(a));
      c.textAlign = "right";
      c.fillText(`${100 * a}`, left - 6, y(a) + 4);
    }
    c.textAlign = "center";
    for (const p of [0, 20, 40, 60, 80]) c.fillText(`${p}`, x(p), HEIGHT - 18);
    c.fillText("% removed", (left + width - right) / 2, HEIGHT - 3);
    const order = [...this.accuracies.keys()].filter((k) => k !== this.chosen);
    for (const k of [...order, this.chosen]) {
      c.strokeStyle = this.colour(k);
      c.globalAlpha = k === this.chosen ? 1 : 0.8;
      c.lineWidth = k === this.chosen ? 3.5 : 2;
      c.setLineDash(DASHES[this.sweeps.places[k] % DASHES.length]);
      c.beginPath();
      this.accuracies[k].forEach((a, p) => c.lineTo(x(p), y(a)));
      c.stroke();
    }
    c.setLineDash([]);
    c.globalAlpha = 1;
    c.lineWidth = 1;
    this.nameLines(c, { from: x(99), x: width - right, y, lowest: HEIGHT - bottom - 2 });
    c.strokeStyle = look.text;
    line(c, x(at), top, x(at), HEIGHT - bottom);
    c.fillStyle = this.colour(this.chosen);
    c.beginPath();
    c.arc(x(at), y(this.accuracies[this.chosen][at]), 6, 0, 7);
    c.fill();
    c.strokeStyle = look.background;
    c.lineWidth = 2;
    c.stroke();
  }

  // Each line's name at its end, the highest first; names keep a row's distance.
  nameLines(c, { from, x, y, lowest }) {
    const ends = this.accuracies.map((a, k) => ({ k, y: y(a.at(-1)), sum: a.reduce((p, q) => p + q) }));
    const place = (end) => Math.round(end.y / (2 * NAME)); // as good as equal: by the whole line
    ends.sort((a, b) => place(b) - place(a) || a.sum - b.sum);
    let below = lowest + NAME;
    const usual = c.font;
    c.textAlign = "left";
    c.textBaseline = "middle";
    for (const end of ends) {
      below = Math.min(end.y, below - NAME);
      c.fillStyle = c.strokeStyle = this.colour(end.k);
      c.font = `${end.k === this.chosen ? 600 : 400} ${usual}`;
      line(c, from, end.y, x + 10, below);
      c.fillText(this.sweeps.criteria[end.k], x + 13, below, RIGHT - 14);
    }
    c.font = usual;
    c.textBaseline = "alphabetic";
  }

  // Rows: what it is; columns: what it is taken for.
  drawConfusion() {
    const canvas = this.find(".confusion");
    const width = canvas.clientWidth;
    const c = sharp(canvas, width, HEIGHT);
    const { classes } = this.images;
    const k = classes.length;
    const named = k <= 20;
    const left = named ? Math.min(90, 14 + 7 * Math.max(...classes.map((n) => n.length))) : 8;
    const [top, bottom] = [4, 34];
    this.confusion = { left, top, w: (width - left) / k, h: (HEIGHT - top - bottom) / k };
    const { w, h } = this.confusion;
    const most = Math.max(...this.counts, 1);
    c.textBaseline = "middle";
    for (let row = 0; row < k; row++) {
      for (let column = 0; column < k; column++) {
        const count = this.counts[row * k + column];
        const shade = count ? 40 + Math.round(215 * Math.sqrt(count / most)) : 0;
        c.fillStyle = css(SCORES[shade]);
        c.fillRect(left + column * w, top + row * h, w - 0.5, h - 0.5);
        if (count && w > 20 && h > 12) {
          c.fillStyle = shade > 150 ? "#000" : "#fff";
          c.textAlign = "center";
          c.fillText(count, left + (column + 0.5) * w, top + (row + 0.5) * h);
        }
      }
      if (!named) continue;
      c.fillStyle = this.look.text;
      c.textAlign = "right";
      c.fillText(classes[row], left - 5, top + (row + 0.5) * h, left - 6);
      c.textAlign = "center";
      c.fillText(classes[row], left + (row + 0.5) * w, HEIGHT - bottom + 9, w);
    }
    if (this.cell) {
      c.strokeStyle = this.look.wrong;
      c.lineWidth = 2.5;
      c.strokeRect(left + this.cell[1] * w, top + this.cell[0] * h, w, h);
    }
    c.fillStyle = this.look.text;
    c.textAlign = "center";
    c.fillText("row: what it is; column: taken for", left + (width - left) / 2, HEIGHT - 7);
    c.textBaseline = "alphabetic";
  }

  // Choose a cell, and only its pictures are listed; again, and all are.
  pick(event) {
    const box = this.find(".confusion").getBoundingClientRect();
    const { left, top, w, h } = this.confusion;
    const column = Math.floor((event.clientX - box.left - left) / w);
    const row = Math.floor((event.clientY - box.top - top) / h);
    const k = this.images.classes.length;
    const inside = row >= 0 && column >= 0 && row < k && column < k;
    const same = this.cell?.[0] === row && this.cell?.[1] === column;
    this.cell = inside && !same ? [row, column] : null;
    this.request();
  }

  drawNews() {
    const canvas = this.find(".news");
    const width = canvas.clientWidth;
    const c = sharp(canvas, width, HEIGHT);
    const { labels, classes } = this.images;
    const listed = this.cell
      ? [...Array(this.n).keys()].filter((i) => labels[i] === this.cell[0] && this.now[i] === this.cell[1])
      : this.news;
    const columns = Math.max(1, Math.floor(width / (THUMB + 8)));
    const rows = Math.floor(HEIGHT / (THUMB + 20));
    c.imageSmoothingEnabled = false;
    c.textAlign = "center";
    listed.slice(0, columns * rows).forEach((index, place) => {
      const x = (place % columns) * (THUMB + 8);
      const y = Math.floor(place / columns) * (THUMB + 20);
      const [height, across] = this.images.shape;
      const scale = Math.min(THUMB / across, THUMB / height);
      c.drawImage(this.picture(index), x, y, across * scale, Math.max(4, height * scale));
      c.fillStyle = labels[index] === this.now[index] ? this.look.text : this.look.wrong;
      const name = `${classes[labels[index]]} → ${classes[this.now[index]]}`;
      c.fillText(name, x + THUMB / 2, y + THUMB + 12, THUMB + 6);
    });
    if (listed.length === 0) {
      c.fillStyle = this.look.text;
      c.textAlign = "left";
      c.fillText(this.cell ? "None of these." : "None: all that dense gets right, it gets right.", 2, 16, width - 4);
    }
    const shown = Math.min(listed.length, columns * rows);
    const some = shown < listed.length ? `, ${shown} shown` : "";
    this.find(".newcaption").textContent = this.cell
      ? `${classes[this.cell[0]]} taken for ${classes[this.cell[1]]}: ${listed.length}${some}`
      : `Newly misclassified: ${listed.length}${some}; newly right: ${this.better}`;
  }

  picture(index) {
    if (!this.pictures.has(index)) this.pictures.set(index, picture(this.images, index));
    return this.pictures.get(index);
  }

  describe() {
    const { sweeps, chosen, percent: at, images } = this;
    const own = this.accuracies[chosen][at];
    const widths = sweeps.widths[at].map((w, l) => `${w} of ${sweeps.widths[0][l]}`).join(", ");
    const share = sweeps.params[at] / sweeps.params[0];
    const place = sweeps.criteria.length > 1 ? this.place() : "";
    const k = images.classes.length;
    let worst = -1;
    for (let i = 0; i < k * k; i++) {
      if (i % (k + 1) !== 0 && this.counts[i] > (this.counts[worst] ?? 0)) worst = i;
    }
    const most = worst < 0 ? "" : ` Most often ${images.classes[Math.floor(worst / k)]} is taken for ${images.classes[worst % k]} (${this.counts[worst]} times).`;
    const some = this.n < images.nTest ? `first ${this.n.toLocaleString("en")} of the ` : "";
    this.find(".reading").textContent =
      `${percent(this.accuracies[chosen][0])} → ${percent(own)} right of the ${some}` +
      `${images.nTest.toLocaleString("en")} test examples${place}. Kept: ${widths} neurons, ` +
      `${percent(share)} of the parameters.${most}`;
  }
}

// The exact two-sided p of McNemar's test: a fair coin for the examples on which two part.
function mcnemar(won, lost) {
  const n = won + lost;
  let log = -n * Math.LN2;
  let sum = 0;
  for (let k = 0; k <= Math.min(won, lost); k++) {
    sum += Math.exp(log);
    log += Math.log((n - k) / (k + 1));
  }
  return Math.min(1, 2 * sum);
}

function line(c, x0, y0, x1, y1) {
  c.beginPath();
  c.moveTo(x0, y0);
  c.lineTo(x1, y1);
  c.stroke();
}

export default mounted(Pruning, "llmrankPruning");
