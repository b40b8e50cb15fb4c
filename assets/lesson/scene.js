// The picture of a step: the network through assets/common/graph.js, the surfer on
// its way, importance in flight, or the patterns of zeros.

import { arranged, draw, onEdge } from "../common/graph.js";
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
  const at = places(x.names, width, height);
  for (const edge of scene.edges) edge.at = at.get(`${edge.id}`);
  return scene;
}

const NARROW = 620; // pixels
const BESIDE = 46; // pixels to the right, for the last node's number

// What the drawing may take, and its largest circle.
function room(width, height) {
  return [{ width: width - BESIDE, height }, width < NARROW ? 17 : 22];
}

const ALONG = [0.3, 0.4, 0.5, 0.6, 0.7, 0.22, 0.35, 0.45, 0.55, 0.65, 0.78];
const KNOWN = new Map();

// How far along its edge each label stands, so that none hides another: for all edges
// that there could be, so that labels stay where they are when a weight becomes 0.
export function places(names, width, height) {
  const about = `${Math.round(width)} ${Math.round(height)}`;
  if (KNOWN.has(about)) return KNOWN.get(about);
  const bare = names.flatMap((of, layer) => of.map((_, i) => ({ layer, i })));
  const { nodes } = arranged({ layers: names.map(() => ({ name: " " })), nodes: bare, edges: [] }, ...room(width, height));
  const [wide, high] = width < NARROW ? [35, 18.5] : [43, 21]; // of a label, or a field
  const found = new Map();
  const taken = [];
  const overlap = (p) =>
    taken.reduce((all, q) => {
      const [w, h] = [wide - Math.abs(p.x - q.x), high - Math.abs(p.y - q.y)];
      return all + (w > 0 && h > 0 ? w * h : 0);
    }, 0);
  for (const from of nodes) {
    for (const to of nodes.filter((n) => n.layer === from.layer + 1)) {
      const tried = ALONG.map((t) => ({ t, ...onEdge(from, to, t) })).map((p) => ({ ...p, over: overlap(p) }));
      const free = tried.find((p) => p.over === 0) ?? tried.reduce((a, b) => (b.over < a.over ? b : a));
      taken.push(free);
      found.set(`${[from.layer, to.i, from.i]}`, free.t);
    }
  }
  if (KNOWN.size > 20) KNOWN.clear();
  KNOWN.set(about, found);
  return found;
}

export function paint(canvas, x, shown, { flight = null } = {}) {
  const ratio = Math.min(2, globalThis.devicePixelRatio || 1);
  const { width, height } = fit(canvas, ratio);
  const c = canvas.getContext("2d");
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, width, height);
  const size = (x.s.presenter ? 14 : 13) - (width < NARROW ? 1 : 0);
  c.font = `${size}px sans-serif`;
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
    const { x: px, y } = onEdge(scene.nodes[edge.from], scene.nodes[edge.to], share);
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
  c.beginPath();
  c.moveTo(before.x, before.y);
  if (at[0] === from[0] + 1 && !jumped) for (let t = 0; t <= 1; t += 0.05) {
    const p = onEdge(before, here, t);
    c.lineTo(p.x, p.y);
  }
  else c.lineTo(here.x, here.y);
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
    const work = k === 2 ? `${rows} × ${GRID}: less work` : `${GRID} × ${GRID}: the same work`;
    c.fillText(work, left + side / 2, top + side + 18);
  });
  return null;
}
