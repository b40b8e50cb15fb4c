// Draws one strip per layer, one column per neuron or per group of neurons.

import { DIFFERENCES, NEWLY_DROPPED, NEWLY_KEPT, SCORES } from "./colours.js";
import { SIDE } from "./engine.js";

const HATCH = 8; // period of the stripes on dropped neurons, in device pixels
export const GUTTER = 44; // room for the layers' names, in CSS pixels

export class Strips {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.resize(300, 150, 1);
  }

  resize(width, height, ratio) {
    this.ratio = ratio;
    this.canvas.width = Math.max(1, Math.round(width * ratio));
    this.canvas.height = Math.max(1, Math.round(height * ratio));
    this.image = this.context.createImageData(this.canvas.width, this.canvas.height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.solid = new Uint32Array(this.canvas.width);
    this.striped = new Uint32Array(this.canvas.width);
    this.line = new Uint32Array(this.canvas.width);
  }

  // Which layers are in view, and where: [{ layer, top, height }] in device pixels.
  rows(engine, view) {
    const n = engine.widths.length;
    const shown = view.layer === null ? [...Array(n).keys()] : [view.layer];
    const height = this.canvas.height / shown.length;
    const gap = height >= 6 * this.ratio ? Math.round(this.ratio) : 0;
    return shown.map((layer, i) => {
      const top = Math.round(i * height);
      const bottom = Math.round((i + 1) * height);
      return { layer, top, height: Math.max(1, bottom - top - gap) };
    });
  }

  // `background` is a pixel; `pinned` may be null: {dropped, rank} of another setting.
  draw(engine, view, scale, pinned, background) {
    this.pixels.fill(background);
    for (const row of this.rows(engine, view)) {
      this.solid.fill(background);
      this.striped.fill(background);
      this.columns(engine, view, scale, pinned, background, row.layer);
      this.fill(row);
    }
    this.context.putImageData(this.image, 0, 0);
  }

  // Compute the colour of every column of a layer, and of the stripes across it.
  columns(engine, view, scale, pinned, background, layer) {
    const width = engine.widths[layer];
    const start = engine.starts[layer];
    const order = engine.order.subarray(start, start + width);
    const per = (view.to - view.from) / this.canvas.width;
    const byRank = view.sort === "rank";
    for (let x = 0; x < this.canvas.width; x++) {
      const first = Math.floor(view.from + x * per);
      if (first >= width) break;
      const last = Math.min(width, Math.max(first + 1, Math.floor(view.from + (x + 1) * per)));
      let sum = 0;
      let nDropped = 0;
      let changed = 0;
      for (let at = first; at < last; at++) {
        const neuron = byRank ? order[at] : at;
        const i = start + neuron;
        const gone = engine.rank[i] >= engine.kept[layer];
        nDropped += gone;
        if (pinned !== null) changed += gone - pinned.dropped[i];
        sum +=
          view.colour === "score"
            ? engine.scores[i]
            : view.colour === "percentile"
              ? width - engine.rank[i]
              : pinned.rank[i] - engine.rank[i];
      }
      const n = last - first;
      const colour = this.colour(view.colour, sum / n, engine, layer, scale);
      const gone = 2 * nDropped >= n;
      const side = sideOf(gone, pinned === null ? 0 : changed / n);
      this.solid[x] = side === SIDE.newlyDropped ? NEWLY_DROPPED : colour;
      if (side === SIDE.newlyKept) this.solid[x] = NEWLY_KEPT;
      this.striped[x] = gone ? background : this.solid[x];
    }
  }

  colour(of, value, engine, layer, scale) {
    const width = engine.widths[layer];
    if (of === "score") {
      const total = engine.totals[layer];
      const relative = total > 0 ? (value * width) / total : 1;
      const at = (Math.log2(relative) - scale.low) / (scale.high - scale.low);
      return SCORES[Math.max(0, Math.min(255, (255 * at) | 0))];
    }
    if (of === "percentile") return SCORES[Math.min(255, (255 * value) / width) | 0];
    const at = 0.5 + (2 * value) / width; // a quarter of all ranks is the whole colour
    return DIFFERENCES[Math.max(0, Math.min(255, 255 * at)) | 0];
  }

  // Copy the columns into every line of a row; the stripes run diagonally.
  fill({ top, height }) {
    const width = this.canvas.width;
    const { line, solid, striped } = this;
    const half = HATCH / 2;
    for (let phase = 0; phase < Math.min(HATCH, height); phase++) {
      for (let x = 0; x < width; x++) line[x] = (x + phase) & half ? striped[x] : solid[x];
      for (let y = phase; y < height; y += HATCH) this.pixels.set(line, (top + y) * width);
    }
  }

  // The layer and the position under a point (CSS pixels), or null.
  at(engine, view, x, y) {
    const row = this.rows(engine, view).find(
      (r) => y * this.ratio >= r.top && y * this.ratio < r.top + r.height + 1,
    );
    if (row === undefined || x < 0) return null;
    const shown = this.canvas.width / this.ratio;
    const position = Math.floor(view.from + (x / shown) * (view.to - view.from));
    if (position < 0 || position >= engine.widths[row.layer] || x >= shown) return null;
    const start = engine.starts[row.layer];
    const neuron = view.sort === "rank" ? engine.order[start + position] : position;
    return { layer: row.layer, position, neuron };
  }
}

// Logarithms of the 1st and 99th percentile of score / average: the colours' range.
export function scaleOf(engine) {
  const found = [];
  const step = Math.max(1, Math.floor(engine.n / 20000));
  for (let l = 0; l < engine.widths.length; l++) {
    const factor = engine.totals[l] > 0 ? engine.widths[l] / engine.totals[l] : 0;
    for (let i = engine.starts[l]; i < engine.starts[l + 1]; i += step) {
      const relative = engine.scores[i] * factor;
      if (relative > 0) found.push(Math.log2(relative));
    }
  }
  if (found.length === 0) return { low: -1, high: 1 };
  const sorted = Float64Array.from(found).sort();
  const low = sorted[Math.floor(0.01 * (sorted.length - 1))];
  const high = sorted[Math.ceil(0.99 * (sorted.length - 1))];
  return high - low > 1e-6 ? { low, high } : { low: low - 1, high: high + 1 };
}

function sideOf(gone, changed) {
  if (changed >= 0.25) return SIDE.newlyDropped;
  if (changed <= -0.25) return SIDE.newlyKept;
  return gone ? SIDE.dropped : SIDE.kept;
}
