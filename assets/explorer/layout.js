// Where the layers lie: equal rows, or more room for one layer and its neighbours.

const STRIP = 0.16; // of its group's height, a strip with room for edges beside it
const GROUP = 0.62; // of the canvas, the group of layers with edges between them
const MARGIN = 6; // CSS pixels above and below the group

// The layers in view: all, or the one zoomed into, with its neighbours if edges are on.
export function layersOf(engine, view) {
  const all = engine.widths.map((_, layer) => layer);
  if (view.layer === null) return all;
  const reach = view.edges === "on" ? 1 : 0;
  return all.filter((layer) => Math.abs(layer - view.layer) <= reach);
}

// How many neurons are in view.
export function inView(engine, view, layers) {
  const [from, to] = [Math.floor(view.from), Math.ceil(view.to)];
  return layers.reduce((n, l) => n + Math.max(0, Math.min(engine.widths[l], to) - from), 0);
}

// Rows [{ layer, top, height }] in whole device pixels; `focus` is a layer or null.
export function laid(layers, height, ratio, focus) {
  const group = focus === null ? [] : layers.filter((l) => Math.abs(l - focus) <= 1);
  if (group.length < 2) return even(layers, 0, height, ratio);
  const others = layers.length - group.length;
  const tall = others ? GROUP * height : height;
  const first = layers.indexOf(group[0]);
  const top = others ? ((height - tall) * first) / others : 0;
  return [
    ...even(layers.slice(0, first), 0, top, ratio),
    ...spread(group, top, tall, ratio, others ? MARGIN * ratio : 0),
    ...even(layers.slice(first + group.length), top + tall, height - top - tall, ratio),
  ];
}

function even(layers, from, room, ratio) {
  const height = room / layers.length;
  const gap = height >= 6 * ratio ? Math.round(ratio) : 0;
  return layers.map((layer, i) => {
    const top = Math.round(from + i * height);
    const bottom = Math.round(from + (i + 1) * height);
    return { layer, top, height: Math.max(1, bottom - top - gap) };
  });
}

function spread(layers, from, room, ratio, margin) {
  const height = Math.round(Math.max(14 * ratio, Math.min(56 * ratio, STRIP * room)));
  const step = (room - 2 * margin - height) / (layers.length - 1);
  return layers.map((layer, i) => ({ layer, top: Math.round(from + margin + i * step), height }));
}

// Rows on their way to others of the same layers; `arrived` when they are there.
export function glide(rows, target) {
  const same = rows?.length === target.length && rows.every((r, i) => r.layer === target[i].layer);
  if (!same) return { rows: target, arrived: true };
  const nearer = (a, b) => (Math.abs(b - a) <= 2 ? b : Math.round(a + (b - a) * 0.35));
  const moved = rows.map((row, i) => ({
    layer: row.layer,
    top: nearer(row.top, target[i].top),
    height: nearer(row.height, target[i].height),
  }));
  const arrived = moved.every((r, i) => r.top === target[i].top && r.height === target[i].height);
  return { rows: moved, arrived };
}
