// Draws one strip per layer, one column per neuron or per group of neurons.

import { css, mixed } from "../common/colours.js";
import { DIFFERENCES, NEWLY_DROPPED, NEWLY_KEPT, SCORES } from "../common/theme.js";

const OF = { score: 0, percentile: 1, change: 2 };
const WHITE = 0xffffffff;
const HATCH = 8; // period of the stripes on dropped neurons, in device pixels
export const GUTTER = 44; // room for the layers' names, in CSS pixels

export class Strips {
  constructor(canvas) {
    this.canvas = canvas;
    this.rows = []; // where the layers in view lie: [{ layer, top, height }] in device pixels
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

  // `background` is a pixel, of a dark one the stripes are lightened: the lowest scores
  // are nearly as dark. `pinned` may be null: {dropped, rank} of another setting.
  draw(engine, view, scale, pinned, background) {
    this.pixels.fill(background);
    for (const row of this.rows) {
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
    const { order, scores } = engine;
    const kept = engine.kept[layer];
    const { solid, striped } = this;
    const { from } = view;
    const per = (view.to - from) / solid.length;
    const byRank = view.sort === "rank";
    const of = OF[view.colour];
    const before = pinned === null ? null : pinned.dropped;
    const rank = byRank ? null : engine.rank; // by rank, the place is the rank
    const rankBefore = pinned === null || of !== OF.change ? null : pinned.rank;
    const paint = painter(of, engine, layer, scale);
    const isDark = (background & 255) < 128;
    for (let x = 0; x < solid.length; x++) {
      const first = Math.floor(from + x * per);
      if (first >= width) break;
      const last = Math.min(width, Math.max(first + 1, Math.floor(from + (x + 1) * per)));
      const n = last - first;
      let sum = 0;
      let nGone = byRank ? Math.min(n, Math.max(0, last - kept)) : 0;
      let nBefore = 0;
      for (let at = first; at < last; at++) {
        const i = start + (byRank ? order[start + at] : at);
        if (!byRank) nGone += rank[i] >= kept;
        if (before !== null) nBefore += before[i];
        if (of === OF.score) sum += scores[i];
        else {
          const r = byRank ? at : rank[i];
          if (of === OF.percentile) sum += width - r;
          else if (rankBefore) sum += rankBefore[i] - r;
        }
      }
      const changed = before === null ? 0 : nGone - nBefore;
      let colour = paint(sum / n);
      if (4 * changed >= n) colour = NEWLY_DROPPED;
      else if (-4 * changed >= n) colour = NEWLY_KEPT;
      const isGone = 2 * nGone >= n;
      solid[x] = isGone && isDark ? mixed(colour, WHITE, 0.3) : colour;
      striped[x] = isGone ? background : colour;
    }
  }

  // Copy the columns into every line of a row; the stripes run diagonally. On its way to a
  // place in a window that became smaller a row may still be below the canvas.
  fill({ top, height: wanted }) {
    const width = this.canvas.width;
    const height = Math.min(wanted, this.canvas.height - top);
    const { line, solid, striped } = this;
    const half = HATCH / 2;
    for (let phase = 0; phase < Math.min(HATCH, height); phase++) {
      for (let x = 0; x < width; x++) line[x] = (x + phase) & half ? striped[x] : solid[x];
      for (let y = phase; y < height; y += HATCH) this.pixels.set(line, (top + y) * width);
    }
  }

  // The layer and the position under a point (CSS pixels), or null.
  at(engine, view, x, y) {
    const row = this.rows.find(
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

// The colour that a neuron's own column would have, as CSS; before: the setting pinned.
export function neuronColour(engine, view, scale, pinned, layer) {
  const of = OF[view.colour];
  const paint = painter(of, engine, layer, scale);
  const width = engine.widths[layer];
  return (i) => {
    const r = engine.rank[i];
    const changed = pinned ? (r >= engine.kept[layer] ? 1 : 0) - pinned.dropped[i] : 0;
    if (changed) return css(changed > 0 ? NEWLY_DROPPED : NEWLY_KEPT);
    const before = pinned ? pinned.rank[i] : r;
    return css(paint([engine.scores[i], width - r, before - r][of]));
  };
}

// Turns a column's mean into its colour.
function painter(of, engine, layer, scale) {
  const width = engine.widths[layer];
  if (of === OF.score) {
    const total = engine.totals[layer];
    const factor = total > 0 ? width / total : 0;
    const slope = 255 / (scale.high - scale.low);
    return (mean) => SCORES[byte((Math.log2(mean * factor) - scale.low) * slope)];
  }
  if (of === OF.percentile) return (mean) => SCORES[byte((255 * mean) / width)];
  // A quarter of all ranks is the whole colour.
  return (mean) => DIFFERENCES[byte(127.5 + (510 * mean) / width)];
}

function byte(x) {
  return x > 255 ? 255 : x > 0 ? x | 0 : 0;
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
