// The picture of a step: the network through assets/common/graph.js, the surfer on
// its way, importance in flight, or the patterns of zeros.

import { arranged, draw, onEdge, trace } from "../common/graph.js";
import { fit } from "../common/size.js";
import { ORANGE } from "../common/theme.js";
import { colour } from "./steps.js";

const GRID = 16; // squares of a pattern's side

// Places of all nodes and edges of the drawing; `shown` is what a step says of them.
export function sceneOf(x, shown, { width, height }) {
  const nodes = [];
  const first = [];
  x.names.forEach((names, l) => {
    first.push(nodes.length);
    const said = names.map((_, i) => (shown.share ? shown.share(l, i) : null)); // null: not yet
    const shares = said.map((share) => share ?? 0.5);
    const most = Math.max(...shares, 1e-9);
    names.forEach((name, i) => {
      const value = shown.label(l, i);
      nodes.push({
        layer: l,
        id: [l, i],
        size: Math.max(0.12, shares[i] / most),
        colour: said[i] === null ? x.look.neutral : colour(shares[i], most),
        gone: Boolean(shown.gone?.(l, i)),
        absent: Boolean(shown.absent?.(l, i)),
        label: value ? `${name}  ${value}` : name,
      });
    });
  });
  const edges = [];
  x.d.network.weights.forEach((matrix, l) =>
    matrix.forEach((row, j) =>
      row.forEach((w, i) => {
        const said = shown.edge ? shown.edge(l, j, i) : w && { weight: Math.abs(w) / x.heaviest };
        if (!said || !(said.weight > 0)) return;
        const own = { gone: false, ...said, weight: Math.sqrt(Math.min(1, said.weight)) }; // small shares are seen too
        edges.push({ ...own, id: [l, j, i], from: first[l] + i, to: first[l + 1] + j });
      }),
    ),
  );
  edges.sort((a, b) => b.weight - a.weight);
  const layers = x.layers.map((name) => ({ name }));
  const scene = arranged({ layers, nodes, edges }, ...room(width, height));
  for (const node of scene.nodes) {
    if (node.absent) Object.assign(node, { r: 0, label: "" });
  }
  scene.place = ([l, j, i]) => slot(scene, x.names, width, [l, j, i]);
  for (const edge of scene.edges) {
    edge.via = { ...scene.place(edge.id), half: edge.label || !shown.edge ? HALF : 0 };
  }
  return scene;
}

const NARROW = 620; // pixels
const BESIDE = 46; // pixels to the right, for the last node's number
const SPREAD = 58; // pixels from label to label, at most
const HALF = 12; // pixels, of a label's height

// What the drawing may take, and its largest circle.
function room(width, height) {
  return [{ width: width - BESIDE, height }, width < NARROW ? 17 : 22];
}

// Where the label of an edge stands: in a row under the sources, each in a place of its
// own. Edges fan out above the row and cross below it, so none touches a label.
function slot({ layers, nodes }, names, width, [l, j, i]) {
  const source = nodes.find(({ id }) => id[0] === l && id[1] === i);
  const [row, n] = [layers[l + 1].y - layers[l].y, names[l + 1].length];
  const spacing = Math.min(SPREAD, (width - BESIDE - 76) / (names[l].length * n));
  return { x: source.x + (j - (n - 1) / 2) * spacing, y: source.y + 0.44 * row };
}

export function paint(canvas, x, shown, { flight = null } = {}) {
  const ratio = Math.min(2, globalThis.devicePixelRatio || 1);
  const { width, height } = fit(canvas, ratio);
  const c = canvas.getContext("2d");
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, width, height);
  const size = (x.s.presenter ? 14 : 13) - (width < NARROW ? 1 : 0);
  c.font = `${size}px "Source Sans", sans-serif`;
  if (shown.patterns) return patterns(c, x, width, height);
  const scene = sceneOf(x, shown, { width, height });
  draw(c, scene, x.look);
  if (flight !== null) particles(c, scene, x, flight);
  if (shown.walker) surfer(c, scene, x);
  return scene;
}

// Dots on their way along the edges of one stage, as large as what they carry.
function particles(c, scene, x, { stage, share }) {
  c.fillStyle = ORANGE;
  for (const edge of scene.edges) {
    if (edge.id[0] !== stage) continue;
    const { x: px, y } = onEdge(scene.nodes, edge, share);
    c.beginPath();
    c.arc(px, y, 3 + 8 * Math.sqrt(x.d.pure[stage + 1].flows[edge.id[1]][edge.id[2]]), 0, 7);
    c.fill();
  }
}

function surfer(c, scene, x) {
  const { at, from, jumped } = x.walker;
  if (!at) return;
  const place = ([l, i]) => scene.nodes.find((n) => n.id[0] === l && n.id[1] === i);
  const here = place(at);
  c.strokeStyle = ORANGE;
  c.lineWidth = 4;
  c.beginPath();
  c.arc(here.x, here.y, here.r + 5, 0, 7);
  c.stroke();
  if (!from || x.walker.fast) return;
  const before = place(from);
  c.lineWidth = 2.5;
  c.setLineDash(jumped || at[0] !== from[0] + 1 ? [5, 5] : []);
  const followed = scene.edges.find(({ id }) => !jumped && `${id}` === `${[from[0], at[1], from[1]]}`);
  if (followed && at[0] > from[0]) trace(c, scene.nodes, followed);
  else {
    c.beginPath();
    c.moveTo(before.x, before.y);
    c.lineTo(here.x, here.y);
  }
  c.stroke();
  c.setLineDash([]);
}

// The same share of weights gone in three ways, in places that never change.
function patterns(c, x, width, height) {
  const names = ["zeros at random places", "zeros in rows", "rows cut"];
  const gap = 24;
  const side = Math.min((width - 4 * gap) / 3, height - 90);
  const cell = side / GRID;
  const gone = Math.floor(x.s.sparsity * GRID + 0.5);
  const lost = Math.round((gone / GRID) * GRID * GRID);
  const top = Math.max(30, (height - side) / 2 - 10);
  c.textAlign = "center";
  names.forEach((name, k) => {
    const left = (width - 3 * side - 2 * gap) / 2 + k * (side + gap);
    c.fillStyle = x.look.text;
    c.fillText(name, left + side / 2, top - 12);
    const rows = k === 2 ? GRID - gone : GRID;
    for (let r = 0; r < rows; r++) {
      for (let q = 0; q < GRID; q++) {
        const place = (r * GRID + q) * 89 + 7;
        const zero = k === 0 ? place % (GRID * GRID) < lost : k === 1 && (r * 5) % GRID < gone;
        c.fillStyle = zero ? x.look.grid : x.look.accent;
        c.fillRect(left + q * cell, top + r * cell, cell - 1.5, cell - 1.5);
      }
    }
    c.fillStyle = x.look.text;
    const timed = x.race ? `: ×${x.race.ratios[k].toFixed(2)} as fast` : "";
    c.fillText(`${rows} × ${GRID}${timed}`, left + side / 2, top + side + 18);
  });
  return null;
}
