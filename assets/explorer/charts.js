// The three small charts under the canvas: distribution, overlap, the θ × γ map.

import { SCORES } from "../common/theme.js";
import { percent, three } from "./card.js";
import { fit } from "../common/size.js";

const BINS = 72;

function prepared(canvas) {
  const ratio = Math.min(2, globalThis.devicePixelRatio || 1);
  const { width, height } = fit(canvas, ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = '12px "Source Sans", sans-serif';
  return { context, width, height };
}

const TILES = new Map(); // colour → a small striped canvas

function stripes(context, colour) {
  if (!TILES.has(colour)) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 6;
    const c = tile.getContext("2d");
    c.strokeStyle = colour;
    c.lineWidth = 2;
    for (const x of [-6, 0, 6]) {
      c.beginPath();
      c.moveTo(x, 6);
      c.lineTo(x + 6, 0);
      c.stroke();
    }
    TILES.set(colour, tile);
  }
  return context.createPattern(TILES.get(colour), "repeat");
}

// Histogram of score / average, in octaves: kept solid, cut striped.
export function distribution(canvas, engine, layers, theme) {
  const { context, width, height } = prepared(canvas);
  const kept = new Float64Array(BINS);
  const gone = new Float64Array(BINS);
  const [low, high] = [-2.5, 3.5];
  const edges = Array.from({ length: BINS }, (_, b) => 2 ** (low + ((b + 1) / BINS) * (high - low)));
  for (const l of layers) {
    // Scores are sorted: a bin is what lies between two places found by halving.
    const average = engine.totals[l] / engine.widths[l];
    let upper = engine.widths[l];
    for (let b = 0; b < BINS; b++) {
      const lower = b === BINS - 1 ? 0 : engine.countFrom(l, edges[b] * average);
      const inBin = upper - lower;
      const cut = Math.max(0, upper - Math.max(lower, engine.kept[l]));
      gone[b] += cut;
      kept[b] += inBin - cut;
      upper = lower;
    }
  }
  let top = 1;
  for (let b = 0; b < BINS; b++) top = Math.max(top, kept[b] + gone[b]);
  const base = height - 18;
  const step = width / BINS;
  const scale = (base - 4) / top;
  const bars = (fill, from, to) => {
    context.fillStyle = fill;
    context.beginPath(); // one path: filling each bar with a pattern is slow
    for (let b = 0; b < BINS; b++) {
      if (to[b] > 0) context.rect(b * step, base - (from(b) + to[b]) * scale, step - 0.5, to[b] * scale);
    }
    context.fill();
  };
  bars(stripes(context, theme.neutral), () => 0, gone);
  bars(theme.accent, (b) => gone[b], kept);
  const x = (octave) => ((octave - low) / (high - low)) * width;
  context.fillStyle = theme.text;
  context.textAlign = "center";
  for (const octave of [-2, -1, 0, 1, 2, 3]) {
    context.fillText(`${three(2 ** octave)} ×`, x(octave), height - 4);
  }
  threshold(context, engine, layers, x, base, theme);
}

// The band between the lowest and the highest threshold of the layers shown.
function threshold(context, engine, layers, x, base, theme) {
  const cuts = layers
    .map((l) => ({ at: engine.boundary(l), width: engine.widths[l] }))
    .filter(({ at }) => at.dropped !== null && at.dropped > 0)
    .map(({ at, width }) => Math.log2(at.dropped * width));
  if (cuts.length === 0) return;
  const [from, to] = [x(Math.min(...cuts)), x(Math.max(...cuts))];
  context.fillStyle = theme.text;
  context.globalAlpha = 0.18;
  context.fillRect(from, 0, to - from, base);
  context.globalAlpha = 1;
  context.fillRect(from, 0, 1.5, base);
  context.fillRect(to, 0, 1.5, base);
}

// One bar per criterion: the share of what is cut here that it would cut too; a line by chance.
export function overlap(canvas, shares, chance, theme) {
  const { context, width, height } = prepared(canvas);
  const names = Object.keys(shares);
  const line = Math.min(30, height / Math.max(1, names.length));
  const left = 84;
  const room = width - left - 52;
  const bar = Math.min(14, line - 2);
  context.textBaseline = "middle";
  names.forEach((name, i) => {
    const y = i * line + line / 2;
    context.fillStyle = theme.text;
    context.textAlign = "right";
    context.fillText(name, left - 8, y, left - 8);
    context.fillStyle = theme.grid;
    context.fillRect(left, y - bar / 2, room, bar);
    context.fillStyle = theme.accent;
    context.fillRect(left, y - bar / 2, room * shares[name], bar);
    context.fillStyle = theme.text;
    context.textAlign = "left";
    context.fillText(percent(shares[name]), left + room + 6, y);
  });
  context.fillRect(left + room * chance - 0.75, 0, 1.5, line * names.length);
}

// The grid as a picture of one pixel per point, γ upwards; what is not computed is clear.
function tile(grid, size) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d");
  const image = context.createImageData(size, size);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < grid.length; i++) {
    const [row, column] = [size - 1 - Math.floor(i / size), i % size];
    pixels[row * size + column] = Number.isNaN(grid[i]) ? 0 : SCORES[Math.round(255 * grid[i])];
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

export const MAP_MARGIN = { left: 30, bottom: 18 };

// θ across, γ up: how much of the pinned cut is still cut there. NaN: not computed yet.
export function map(canvas, grid, size, settings, pinned, theme) {
  const { context, width, height } = prepared(canvas);
  const { left, bottom } = MAP_MARGIN;
  const [w, h] = [(width - left) / size, (height - bottom) / size];
  if (size > 0) {
    context.imageSmoothingEnabled = false;
    context.drawImage(tile(grid, size), left, 0, width - left, height - bottom);
  }
  context.fillStyle = theme.text;
  context.textAlign = "center";
  context.fillText("θ: 0", left + 12, height - 4);
  context.fillText("1", width - 6, height - 4);
  context.textAlign = "right";
  context.fillText("γ: 1", left - 4, 10);
  context.fillText("0", left - 4, height - bottom - 2);
  const dot = ({ theta, gamma }) => [
    left + theta * (size - 1) * w + w / 2,
    (size - 1 - gamma * (size - 1)) * h + h / 2,
  ];
  context.lineWidth = 2;
  for (const [at, shape] of [[pinned, "pin"], [settings, "here"]]) {
    if (!at) continue;
    const [x, y] = dot(at);
    context.strokeStyle = "#fff";
    context.fillStyle = "#000";
    context.beginPath();
    if (shape === "pin") context.rect(x - 4, y - 4, 8, 8);
    else context.arc(x, y, 5, 0, 7);
    context.fill();
    context.stroke();
  }
}
